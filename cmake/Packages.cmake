# Packages, DEB and RPM: the programs, an agent for each MPI, and the plugin for one Slurm
# major.minor. The plugin's package has that in its name and depends on it, so that it cannot be
# installed beside another Slurm, and one with the plugin for another Slurm cannot stay.

# The package that has Slurm's plugins; from a prefix Slurm comes without a package.
set(PBC_SLURM_PACKAGE "" CACHE STRING "Package of Slurm on which the plugin's depends; empty: the usual")
set(deb_slurm "${PBC_SLURM_PACKAGE}")
set(rpm_slurm "${PBC_SLURM_PACKAGE}")
if(NOT PBC_SLURM_PACKAGE AND NOT PBC_SLURM_PREFIX)
    set(rpm_slurm slurm)
    if(PBC_PLUGIN_DIR MATCHES "slurm-wlm$")
        set(deb_slurm slurm-wlm-basic-plugins) # Debian's
    else()
        set(deb_slurm slurm-smd) # SchedMD's
    endif()
endif()

function(pbc_two_digits var number)
    string(LENGTH "0${number}" len)
    math(EXPR from "${len} - 2")
    string(SUBSTRING "0${number}" ${from} 2 digits)
    set(${var} ${digits} PARENT_SCOPE)
endfunction()
pbc_two_digits(minor ${PBC_SLURM_MINOR})
math(EXPR next "${PBC_SLURM_MINOR} + 1")
pbc_two_digits(next ${next})
set(from ${PBC_SLURM_MAJOR}.${minor})
set(to ${PBC_SLURM_MAJOR}.${next})

set(CPACK_PACKAGE_NAME pbcast)
set(CPACK_PACKAGE_VENDOR "The pbcast authors")
set(CPACK_PACKAGE_CONTACT "The pbcast authors")
set(CPACK_PACKAGING_INSTALL_PREFIX ${CMAKE_INSTALL_PREFIX})
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL programs plugin)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_COMPONENT_PROGRAMS_DESCRIPTION
    "The agent pbcast-stage, which runs on compute nodes, and the tool pbcast.")
set(CPACK_COMPONENT_PLUGIN_DESCRIPTION
    "The plugin for Slurm ${from}. It works with no other Slurm.")

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PROGRAMS_PACKAGE_NAME pbcast)
set(CPACK_DEBIAN_PLUGIN_PACKAGE_NAME pbcast-slurm-${from})
set(CPACK_DEBIAN_PLUGIN_PACKAGE_DEPENDS "pbcast (= ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})")
if(deb_slurm)
    string(APPEND CPACK_DEBIAN_PLUGIN_PACKAGE_DEPENDS
           ", ${deb_slurm} (>= ${from}), ${deb_slurm} (<< ${to})")
endif()
if(deb_slurm STREQUAL "slurm-wlm-basic-plugins")
    # Debian's mpi_pmix opens libpmix.so, which is in no other package.
    set(CPACK_DEBIAN_PLUGIN_PACKAGE_RECOMMENDS libpmix-dev)
endif()
set(CPACK_DEBIAN_PLUGIN_PACKAGE_PROVIDES pbcast-slurm)
set(CPACK_DEBIAN_PLUGIN_PACKAGE_CONFLICTS pbcast-slurm)
set(CPACK_DEBIAN_PLUGIN_PACKAGE_REPLACES pbcast-slurm)

set(CPACK_RPM_COMPONENT_INSTALL ON)
set(CPACK_RPM_FILE_NAME RPM-DEFAULT)
set(CPACK_RPM_PACKAGE_RELEASE 1)
set(CPACK_RPM_PACKAGE_RELOCATABLE OFF) # the plugin knows where the agent is
set(CPACK_RPM_PACKAGE_LICENSE BSD-3-Clause)
set(CPACK_RPM_PROGRAMS_PACKAGE_NAME pbcast)
set(CPACK_RPM_PLUGIN_PACKAGE_NAME pbcast-slurm-${from})
set(CPACK_RPM_PLUGIN_PACKAGE_REQUIRES "pbcast = ${PROJECT_VERSION}")
if(rpm_slurm)
    string(APPEND CPACK_RPM_PLUGIN_PACKAGE_REQUIRES ", ${rpm_slurm} >= ${from}, ${rpm_slurm} < ${to}")
endif()
set(CPACK_RPM_PLUGIN_PACKAGE_PROVIDES pbcast-slurm)
set(CPACK_RPM_PLUGIN_PACKAGE_CONFLICTS pbcast-slurm)
# Directories of others.
set(CPACK_RPM_EXCLUDE_FROM_AUTO_FILELIST_ADDITION
    ${CMAKE_INSTALL_PREFIX}/lib/tmpfiles.d
    ${CMAKE_INSTALL_FULL_LIBDIR}
    ${CMAKE_INSTALL_FULL_DATADIR}/bash-completion
    ${CMAKE_INSTALL_FULL_DATADIR}/bash-completion/completions
    ${CMAKE_INSTALL_FULL_MANDIR}
    ${CMAKE_INSTALL_FULL_MANDIR}/man1
    ${CMAKE_INSTALL_FULL_MANDIR}/man5
    ${CMAKE_INSTALL_FULL_MANDIR}/man8
    ${CMAKE_INSTALL_FULL_SYSCONFDIR}/slurm
    ${CMAKE_INSTALL_FULL_SYSCONFDIR}/slurm/plugstack.conf.d
    ${CMAKE_INSTALL_PREFIX}/${PBC_PLUGIN_DIR})

# Agents that meet by MPI bring that MPI along, so each has a package of its own.
foreach(mpi mpich openmpi)
    if(TARGET pbcast-stage-${mpi})
        string(TOUPPER ${mpi} MPI)
        list(APPEND CPACK_COMPONENTS_ALL ${mpi})
        set(CPACK_COMPONENT_${MPI}_DESCRIPTION
            "The agent pbcast-stage-${mpi}, for where Slurm has no PMIx.")
        set(CPACK_DEBIAN_${MPI}_PACKAGE_NAME pbcast-${mpi})
        set(CPACK_DEBIAN_${MPI}_PACKAGE_DEPENDS
            "pbcast (= ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})")
        set(CPACK_RPM_${MPI}_PACKAGE_NAME pbcast-${mpi})
        set(CPACK_RPM_${MPI}_PACKAGE_REQUIRES "pbcast = ${PROJECT_VERSION}")
    endif()
endforeach()

include(CPack)
