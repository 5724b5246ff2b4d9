# pbcast catalog
add_library(pbc_tool_catalog STATIC ${CMAKE_CURRENT_LIST_DIR}/cmd_catalog.c
            ${CMAKE_CURRENT_LIST_DIR}/catalog_file.c)
target_include_directories(pbc_tool_catalog PUBLIC ${CMAKE_CURRENT_LIST_DIR})
target_compile_definitions(pbc_tool_catalog PRIVATE
    PBC_CATALOG_DEFAULT="${CMAKE_INSTALL_FULL_SYSCONFDIR}/pbcast/catalog")
target_link_libraries(pbc_tool_catalog PUBLIC pbc_core PRIVATE pbc_tool_words pbc_flags PkgConfig::SODIUM)
