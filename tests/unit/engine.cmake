# Tests of the engine.

add_library(pbc_engine_test_support STATIC engine_support.c test_engine_unpacking.c)
target_link_libraries(pbc_engine_test_support PUBLIC pbc_test_support pbc_engine PkgConfig::ARCHIVE
                      PkgConfig::SODIUM Threads::Threads)
if(ISAL_FOUND)
    target_compile_definitions(pbc_engine_test_support PUBLIC PBC_HAVE_ISAL)
endif()
if(ZSTD_FOUND)
    pkg_check_modules(ZSTD QUIET IMPORTED_TARGET libzstd) # here as well: targets have a scope
    target_compile_definitions(pbc_engine_test_support PUBLIC PBC_HAVE_ZSTD)
    target_link_libraries(pbc_engine_test_support PUBLIC PkgConfig::ZSTD)
endif()

# pbc_engine_test(<what> [SOURCES <more>...])
function(pbc_engine_test what)
    cmake_parse_arguments(ARG "" "" "SOURCES" ${ARGN})
    pbc_unit_test(engine_${what} SOURCES ${ARG_SOURCES} LIBRARIES pbc_engine_test_support)
endfunction()

pbc_engine_test(beneath)
pbc_engine_test(chunk)
pbc_engine_test(conn)
pbc_engine_test(decode)
pbc_engine_test(fix_r)
pbc_engine_test(lanes)
pbc_engine_test(links)
pbc_engine_test(memory)
pbc_engine_test(messages)
if(NOT ZSTD_FOUND)
    pbc_engine_test(meta)
endif()
pbc_engine_test(net)
pbc_engine_test(place)
pbc_engine_test(pmix SOURCES ${PROJECT_SOURCE_DIR}/stage/coord_pmix.c)
target_link_libraries(test_engine_pmix PRIVATE PkgConfig::PMIX)
set_target_properties(test_engine_pmix PROPERTIES BUILD_RPATH "${PMIX_LIBRARY_DIRS}")
target_link_options(test_engine_pmix PRIVATE -Wl,--wrap=PMIx_Init,--wrap=PMIx_Get
                    -Wl,--wrap=PMIx_Put,--wrap=PMIx_Commit,--wrap=PMIx_Fence_nb
                    -Wl,--wrap=PMIx_Finalize)
pbc_engine_test(refusals)
pbc_engine_test(scarce)
target_link_options(test_engine_scarce PRIVATE -Wl,--wrap=pbc_fifo_push,--wrap=aligned_alloc)
pbc_engine_test(space)
pbc_engine_test(start)
pbc_engine_test(strangers)
target_link_options(test_engine_strangers PRIVATE -Wl,--wrap=accept4)
pbc_engine_test(unpack)
pbc_engine_test(wire)
pbc_engine_test(writer)

# Runs of several agents on one machine.
add_executable(pbcast-stage-local engine_agent.c)
target_link_libraries(pbcast-stage-local PRIVATE pbc_engine pbc_flags)
if(TARGET pbc_pack)
    target_sources(pbcast-stage-local PRIVATE ${PROJECT_SOURCE_DIR}/stage/pack_dir.c)
    target_compile_definitions(pbcast-stage-local PRIVATE PBC_HAVE_PACK)
    target_link_libraries(pbcast-stage-local PRIVATE pbc_pack)
endif()

# pbc_nodes_test(<prefix> <what> <agent> [<definition>...])
# engine_<prefix><what>: the tests of <what> with runs of this agent.
function(pbc_nodes_test prefix what agent)
    set(name engine_${prefix}${what})
    pbc_unit_test(${name} FILE engine_${what} SOURCES engine_nodes.c engine_proxy.c
                  LIBRARIES pbc_engine_test_support)
    target_compile_definitions(test_${name} PRIVATE PBC_LOCAL_AGENT="$<TARGET_FILE:${agent}>"
                               ${ARGN})
    add_dependencies(test_${name} ${agent})
endfunction()

foreach(what agent extends feed forged losses refused_runs runs)
    pbc_nodes_test("" ${what} pbcast-stage-local)
endforeach()

# The same over two trees.
foreach(what extends feed forged losses refused_runs runs)
    pbc_nodes_test(two_ ${what} pbcast-stage-local PBC_TWO_TREES)
endforeach()

# With an agent that takes every node for a slow one.
add_executable(pbcast-stage-hasty engine_agent.c ${PROJECT_SOURCE_DIR}/stage/run_pace.c)
target_compile_definitions(pbcast-stage-hasty PRIVATE LAG_BYTES=1 LAG_MS=1 LAG_RATIO=0 LAG_TIMES=1)
target_link_libraries(pbcast-stage-hasty PRIVATE pbc_engine pbc_flags)
foreach(what feed losses refused_runs runs)
    pbc_nodes_test(hasty_ ${what} pbcast-stage-hasty PBC_HASTY)
    pbc_nodes_test(hasty_two_ ${what} pbcast-stage-hasty PBC_HASTY PBC_TWO_TREES)
endforeach()

# And with one whose bundles are carried by MPI, of which there is a stand-in here.
add_executable(pbcast-stage-carried engine_agent.c mpi/stand_in.c
               ${PROJECT_SOURCE_DIR}/stage/stream_mpi.c)
target_include_directories(pbcast-stage-carried PRIVATE mpi)
# What Open MPI wants of us is more: all come to the end of the stream.
target_compile_definitions(pbcast-stage-carried PRIVATE PBC_LOCAL_MPI OPEN_MPI)
target_link_libraries(pbcast-stage-carried PRIVATE pbc_engine pbc_flags Threads::Threads)
foreach(what extends losses refused_runs runs transport)
    pbc_nodes_test(carried_ ${what} pbcast-stage-carried PBC_CARRIED)
endforeach()
pbc_engine_test(stream)

# Bundles of frames.
pbc_engine_test(frames)
if(ZSTD_FOUND)
    foreach(what convert frames_refused frames_unpack meta pack)
        pbc_engine_test(${what} SOURCES frames_support.c)
        target_link_libraries(test_engine_${what} PRIVATE pbc_tool)
    endforeach()
    target_compile_definitions(test_engine_convert PRIVATE
                               PBC_TOOL="$<TARGET_FILE:pbcast>")
    add_dependencies(test_engine_convert pbcast)
endif()
if(TARGET pbc_pack)
    target_compile_definitions(test_engine_extends PRIVATE PBC_HAVE_PACK)
    pbc_unit_test(tool_progress LIBRARIES pbc_pack)
    target_link_options(test_tool_progress PRIVATE -Wl,--wrap=clock_gettime,--wrap=isatty)
endif()
