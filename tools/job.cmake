# pbcast env, pbcast leaks: for a job that has staged
add_library(pbc_tool_job STATIC
    ${CMAKE_CURRENT_LIST_DIR}/cause.c
    ${CMAKE_CURRENT_LIST_DIR}/changes.c
    ${CMAKE_CURRENT_LIST_DIR}/cmd_env.c
    ${CMAKE_CURRENT_LIST_DIR}/cmd_leaks.c
    ${CMAKE_CURRENT_LIST_DIR}/leaks.c
    ${CMAKE_CURRENT_LIST_DIR}/mounts.c
    ${CMAKE_CURRENT_LIST_DIR}/observe.c
    ${CMAKE_CURRENT_LIST_DIR}/runpath.c
    ${CMAKE_CURRENT_LIST_DIR}/shell.c
    ${CMAKE_CURRENT_LIST_DIR}/staged.c
    ${CMAKE_CURRENT_LIST_DIR}/trace.c)
target_include_directories(pbc_tool_job PUBLIC ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(pbc_tool_job PUBLIC pbc_core PRIVATE pbc_tool_words pbc_flags)
