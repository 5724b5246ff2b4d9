# Fuzz targets of the engine. fuzz_archive needs a few seconds for many small trees in /dev/shm.

if(PBC_FUZZ)
    target_compile_options(pbc_engine PRIVATE -fsanitize=fuzzer-no-link)
endif()

pbc_fuzz_target(archive LIBRARIES pbc_engine Threads::Threads)
pbc_fuzz_target(stream LIBRARIES pbc_engine Threads::Threads)
pbc_fuzz_target(wire LIBRARIES pbc_engine)

# Of pbcast(1).
if(TARGET pbc_tool)
    if(PBC_FUZZ)
        target_compile_options(pbc_pack PRIVATE -fsanitize=fuzzer-no-link)
        target_compile_options(pbc_tool PRIVATE -fsanitize=fuzzer-no-link)
        target_compile_options(pbc_tool_words PRIVATE -fsanitize=fuzzer-no-link)
    endif()
    pbc_fuzz_target(check LIBRARIES pbc_tool)
    pbc_fuzz_target(elf LIBRARIES pbc_tool)
    pbc_fuzz_target(elf_path LIBRARIES pbc_tool)
    pbc_fuzz_target(shebang LIBRARIES pbc_tool)
    pbc_fuzz_target(conda LIBRARIES pbc_tool)
    pbc_fuzz_target(names LIBRARIES pbc_tool)
    pbc_fuzz_target(observed LIBRARIES pbc_tool)
endif()
