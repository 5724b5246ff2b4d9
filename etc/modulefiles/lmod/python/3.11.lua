-- pbcast: an example for Lmod. 'module load python/3.11' makes jobs that are submitted after it get
-- the bundle python/3.11 of the site's catalogue, without an option. The name is that of the entry.

help([[Python 3.11, unpacked by pbcast in the memory of the job's nodes before its tasks start.]])
whatis("Description: Python 3.11, staged by pbcast")

-- One list for all modules of this kind, in the order in which they were loaded.
append_path { "PBCAST_BUNDLE", myModuleName() .. "/" .. myModuleVersion(), delim = "," }

-- On the login node, where nothing is staged:
-- prepend_path("PATH", "/sw/python/3.11/bin")
