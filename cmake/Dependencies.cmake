# Find what the build needs; say at once what is missing and which Debian package has it.

set(PBC_MISSING "")
macro(pbc_missing what package)
    string(APPEND PBC_MISSING "\n  ${what}: apt-get install ${package}")
endmacro()

find_package(Threads REQUIRED)
find_package(PkgConfig)
if(NOT PkgConfig_FOUND)
    pbc_missing("pkg-config" pkg-config)
else()
    pkg_check_modules(PMIX IMPORTED_TARGET pmix)
    pkg_check_modules(ARCHIVE IMPORTED_TARGET libarchive)
    pkg_check_modules(SODIUM IMPORTED_TARGET libsodium)
    pkg_check_modules(JANSSON IMPORTED_TARGET jansson)
    pkg_check_modules(MPICH IMPORTED_TARGET mpich) # optional, both
    pkg_check_modules(OPENMPI IMPORTED_TARGET ompi-c)
    if(NOT JANSSON_FOUND)
        pbc_missing("Jansson" libjansson-dev)
    endif()
    if(NOT PMIX_FOUND)
        pbc_missing("PMIx" libpmix-dev)
    endif()
    if(NOT ARCHIVE_FOUND)
        pbc_missing("libarchive" libarchive-dev)
    endif()
    if(NOT SODIUM_FOUND)
        pbc_missing("libsodium" libsodium-dev)
    endif()
    if(PBC_TESTS)
        pkg_check_modules(CMOCKA IMPORTED_TARGET cmocka)
        if(NOT CMOCKA_FOUND)
            pbc_missing("cmocka (or configure with -DPBC_TESTS=OFF)" libcmocka-dev)
        endif()
    endif()
endif()

# Another Slurm than the distribution's: its headers, its plugin directory, its srun.
set(PBC_SLURM_PREFIX "" CACHE PATH "Prefix of the Slurm that loads the plugin; empty: the system's")
if(PBC_SLURM_PREFIX)
    set(SLURM_INCLUDE_DIR "${PBC_SLURM_PREFIX}/include") # whatever an earlier configuration found
else()
    find_path(SLURM_INCLUDE_DIR slurm/spank.h DOC "Directory that holds slurm/spank.h")
endif()
if(NOT EXISTS "${SLURM_INCLUDE_DIR}/slurm/spank.h")
    pbc_missing("Slurm's headers (or set PBC_SLURM_PREFIX or SLURM_INCLUDE_DIR)" libslurm-dev)
endif()

if(PBC_MISSING)
    message(FATAL_ERROR "pbcast cannot be built, because this is missing:${PBC_MISSING}\n"
                        "or all at once: container/install-deps build")
endif()

file(STRINGS "${SLURM_INCLUDE_DIR}/slurm/slurm_version.h" PBC_SLURM_VERSION_LINE
     REGEX "^#define[ \t]+SLURM_VERSION_NUMBER[ \t]+0x[0-9a-fA-F]+")
string(REGEX MATCH "0x([0-9a-fA-F][0-9a-fA-F])([0-9a-fA-F][0-9a-fA-F])([0-9a-fA-F][0-9a-fA-F])" _
       "${PBC_SLURM_VERSION_LINE}")
math(EXPR PBC_SLURM_MAJOR "0x${CMAKE_MATCH_1}")
math(EXPR PBC_SLURM_MINOR "0x${CMAKE_MATCH_2}")
math(EXPR PBC_SLURM_MICRO "0x${CMAKE_MATCH_3}")
message(STATUS "Slurm headers: ${PBC_SLURM_MAJOR}.${PBC_SLURM_MINOR}.${PBC_SLURM_MICRO}")

# What the plugin runs srun as, unless the site says srun=.
if(PBC_SLURM_PREFIX)
    set(PBC_SRUN "${PBC_SLURM_PREFIX}/bin/srun")
else()
    set(PBC_SRUN /usr/bin/srun)
endif()

# Where slurmd and srun look for plugins: as the distribution has it, else lib/slurm.
set(PBC_PLUGIN_DIR "" CACHE STRING "Slurm's plugin directory")
if(NOT PBC_PLUGIN_DIR)
    if(PBC_SLURM_PREFIX)
        set(PBC_PLUGIN_DIR "${PBC_SLURM_PREFIX}/lib/slurm")
    elseif(EXISTS "/usr/${CMAKE_INSTALL_LIBDIR}/slurm-wlm" OR EXISTS
       "/usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/slurm-wlm")
        set(PBC_PLUGIN_DIR "${CMAKE_INSTALL_LIBDIR}/slurm-wlm")
    else()
        set(PBC_PLUGIN_DIR "${CMAKE_INSTALL_LIBDIR}/slurm")
    endif()
endif()
