# Fuzz targets of the engine. fuzz_archive needs a few seconds for many small trees in /dev/shm.

if(PBC_FUZZ)
    target_compile_options(pbc_engine PRIVATE -fsanitize=fuzzer-no-link)
endif()

pbc_fuzz_target(archive LIBRARIES pbc_engine Threads::Threads)
pbc_fuzz_target(wire LIBRARIES pbc_engine)
