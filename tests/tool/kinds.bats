#!/usr/bin/env bats
# pbcast bundle venv, conda, pip, module and system-libs.
load support

PYTHON=/usr/bin/python3

# in_tree DIR CMD...: as a task of the profile venv, the environment's own Python hidden.
in_venv() {
    local root=$1
    shift
    run env -i PATH="$root/bin:/usr/bin:/bin" PYTHONHOME="$root/base" PYTHONNOUSERSITE=1 \
        LD_LIBRARY_PATH="$root/base/lib:$root/base/lib/$(gcc -print-multiarch)" "$@"
}

# A wheel of that name with one module and one program.
wheel() { # NAME [REQUIREMENT]
    $PYTHON - "$@" <<'EOF'
import sys, zipfile
name, needs = sys.argv[1], sys.argv[2:]
info = name + "-1.0.dist-info"
files = {
    name + "/__init__.py": "def main():\n    print('this is " + name + "')\n",
    info + "/METADATA": "Metadata-Version: 2.1\nName: %s\nVersion: 1.0\n" % name + "".join("Requires-Dist: %s\n" % n for n in needs),
    info + "/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    info + "/entry_points.txt": "[console_scripts]\n%s = %s:main\n" % (name, name),
}
with zipfile.ZipFile(name + "-1.0-py3-none-any.whl", "w") as z:
    for path, text in files.items():
        z.writestr(path, text)
    z.writestr(info + "/RECORD", "".join(p + ",,\n" for p in files) + info + "/RECORD,,\n")
EOF
}

@test "venv: the base comes along, and nothing points back" {
    $PYTHON -m venv --without-pip v
    wheel mine
    $PYTHON -m pip --python v/bin/python3 install -q --no-index --find-links . mine
    pbcast bundle venv v -o b.tar.zst
    done_well
    says "profile venv"
    pbcast check b.tar.zst
    says_no "error:"
    says_no "library paths"
    says_no "libraries that the bundle does not have"
    unpack b.tar.zst
    mv v gone
    in_venv "$PWD/out" python -c 'import sys, ssl, sqlite3, ctypes, mine; print(sys.prefix, sys.base_prefix, ssl.__file__, mine.__file__)
print([l for l in open("/proc/self/maps") if "/" in l and "/out/" not in l and not any(x in l for x in ("/libc.", "/libm.", "/ld-linux", "locale", "/gconv/"))])'
    done_well
    says "$PWD/out $PWD/out/base $PWD/out/base/lib/"
    says "$PWD/out/lib/"
    says "[]"
    in_venv "$PWD/out" mine
    done_well
    says "this is mine"
    [[ ! -e out/base/lib/python3 ]]
}

@test "venv: one of a standalone Python, as uv makes them" {
    local version
    version=$($PYTHON -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    mkdir -p standalone/bin standalone/lib uv/bin "uv/lib/python$version/site-packages"
    cp "$(realpath $PYTHON)" "standalone/bin/python$version"
    cp -a "/usr/lib/python$version" standalone/lib/
    rm -rf "standalone/lib/python$version/"{sitecustomize.py,config-*}
    mkdir -p "standalone/lib/python$version/site-packages/unwanted"
    ln -s "$PWD/standalone/bin/python$version" uv/bin/python
    ln -s python uv/bin/python3
    ln -s python "uv/bin/python$version"
    printf 'home = %s/standalone/bin\nimplementation = CPython\nuv = 0.4.0\nversion_info = %s.2\ninclude-system-site-packages = false\n' \
        "$PWD" "$version" >uv/pyvenv.cfg
    echo 'x = 7' >"uv/lib/python$version/site-packages/mod.py"
    pbcast bundle venv uv -o b.tar.zst
    done_well
    says "not packed, because the environment does not use it: $PWD/standalone/lib/python$version/site-packages"
    unpack b.tar.zst
    mv standalone gone
    mv uv away
    in_venv "$PWD/out" python3 -c 'import sys, json, mod; print(sys.prefix, sys.base_prefix, json.__file__, mod.x)'
    done_well
    says "$PWD/out $PWD/out/base $PWD/out/base/lib/python$version/json/__init__.py 7"
    [[ ! -e out/base/lib/python$version/site-packages/unwanted ]]
}

@test "venv: a pyvenv.cfg behind a link does not point back either" {
    $PYTHON -m venv --without-pip v
    mv v/pyvenv.cfg cfg
    ln -s ../cfg v/pyvenv.cfg
    pbcast bundle venv v -q --no-compile -o b.tar
    done_well
    tar -xOf b.tar pyvenv.cfg | grep -x 'home = base/bin'
    tar -tf b.tar | lacks '^cfg$'
}

@test "venv: what is none, or whose base is gone" {
    pbcast bundle venv t -o b.tar.zst
    refused "t is no virtual environment"
    left_nothing
    pbcast bundle venv nosuch -o b.tar.zst
    refused "nosuch"
    mkdir -p v/bin
    : >v/pyvenv.cfg
    ln -s /nosuch/python v/bin/python3
    pbcast bundle venv v -o b.tar.zst
    refused "cannot run"
    left_nothing
    rm v/bin/python3
    printf '#!/bin/sh\necho junk\n' >v/bin/python3 && chmod 755 v/bin/python3
    pbcast bundle venv v -o b.tar.zst
    refused "does not tell where its base is"
    left_nothing
}

# An environment as conda installs it: files were built with a long placeholder.
conda_env() { # DIR
    $PYTHON - "$1" "$PWD" <<'EOF'
import json, os, re, sys
prefix = os.path.join(sys.argv[2], sys.argv[1])
ph = ("/home/conda/feedstock_root/build_artifacts/x/_h_env" + "_placehold" * 30)[:255]
for d in "conda-meta", "bin", "lib", "etc/conda/activate.d", "envs/other", "pkgs/p":
    os.makedirs(os.path.join(prefix, d))
binary = b"\x7fNOELF\0" + ph.encode() + b"/lib/data\0tail\0" + ph.encode() + b"/a:" + ph.encode() + b"/b\0END" + ph.encode() + b"\0"
text = "#!%s/bin/python3.11\nroot=%s\n" % (ph, ph)
def install(m):
    return m.group().replace(ph.encode(), prefix.encode()) + b"\0" * ((len(ph) - len(prefix)) * m.group().count(ph.encode()))
def put(name, data):
    with open(os.path.join(prefix, name), "wb") as f:
        f.write(data)
open("binary", "wb").write(binary)
open("text", "w").write(text)
put("lib/libx.so", re.sub(re.escape(ph.encode()) + b"([^\0]*?)\0", install, binary))
put("bin/tool", text.replace(ph, prefix).encode())
put("bin/python3.11", b"")
put("lib/unmarked", prefix.encode())
put("conda-meta/x-1.0-0.json", json.dumps({"name": "x", "paths_data": {"paths": [
    {"_path": "lib/libx.so", "file_mode": "binary", "prefix_placeholder": ph},
    {"_path": "bin/tool", "file_mode": "text", "prefix_placeholder": ph},
    {"_path": "lib/unmarked"}, {"_path": "lib/removed", "file_mode": "text", "prefix_placeholder": ph}]}}).encode())
put("etc/conda/activate.d/x.sh", b"export X_HOME=$CONDA_PREFIX/x\nexport PATH=\"$CONDA_PREFIX/xbin:$PATH\"\necho noise\n")
EOF
}

# One byte behind the prefix is another one than the package had.
change_library() { # DIR
    $PYTHON - "$1/lib/libx.so" <<'EOF'
import sys
data = open(sys.argv[1], "rb").read()
at = data.index(b"/lib/data\0") + 12
open(sys.argv[1], "wb").write(data[:at] + b"x" + data[at + 1:])
EOF
}

without_notes_if_quiet() { # DIR
    pbcast bundle conda "$1" -q -o b.tar.zst
    done_well
    says_no "pbcast: note"
}

@test "conda: files carry the placeholder of their packages again" {
    conda_env env
    pbcast bundle conda env -o b.tar.zst
    done_well
    says "not packed, because it belongs to other environments: envs"
    unpack b.tar.zst
    cmp binary out/lib/libx.so
    cmp text out/bin/tool
    cmp env/lib/unmarked out/lib/unmarked
    [[ ! -e out/envs/other ]]
    conf | grep -x profile=conda
    conf | grep -x 'rewrite=binary lib/libx.so'
    conf | grep -x 'rewrite=text bin/tool'
    [[ $(conf | grep -c ^rewrite=) == 2 ]]
    conf | grep -x 'set=X_HOME=@ROOT@/x'
    conf | grep -x 'prepend=PATH=@ROOT@/xbin'
    pbcast check b.tar.zst
    done_well
    run grep -rF "$PWD/env" out/bin out/lib/libx.so
    [[ $status == 1 ]]
}

@test "conda: a file that was changed since, or has no room, is told and stays as it is" {
    conda_env env
    change_library env
    sed -i 's,"_path": "bin/tool","_path": "../../etc/passwd",' env/conda-meta/x-1.0-0.json
    pbcast bundle conda env -o b.tar.zst
    refused "x-1.0-0.json: it names the path '../../etc/passwd'"
    left_nothing
    sed -i 's,"_path": "../../etc/passwd","_path": "bin/tool",' env/conda-meta/x-1.0-0.json
    pbcast bundle conda env -o b.tar.zst
    done_well
    says "have been changed since they were installed"
    says "lib/libx.so"
}

@test "conda: the prefix is found however the environment's path is written" {
    conda_env env
    ln -s . link
    local path
    for path in "$PWD/env/" "$PWD//env" "$PWD/./env" "$PWD/t/../env" env/ ./env "$PWD/link/env"; do
        pbcast bundle conda "$path" -o b.tar.zst
        done_well
        says_no "none of the"
        [[ $(conf | grep -c ^rewrite=) == 2 ]] || said "two files rewritten, by $path"
        conf | grep -x "origin=$PWD/env"
    done
}

@test "conda: the prefix is that of a link if the environment was made by it" {
    conda_env env
    ln -s . "$(printf 'l%.0s' {1..40})"
    mv env other
    local link=$PWD/llllllllllllllllllllllllllllllllllllllll
    sed -i "s,$PWD/env,$link/other," other/bin/tool
    pbcast bundle conda "$link/other" -o b.tar.zst
    done_well
    conf | grep -x "rewrite=text bin/tool"
    cd "$link" || return
    pbcast bundle conda other -o b.tar.zst
    done_well
    conf | grep -x "rewrite=text bin/tool"
}

@test "conda: an environment that was moved is told" {
    conda_env env
    mv env moved
    pbcast bundle conda moved -o b.tar.zst
    done_well
    says "none of the 2 files that packages have marked has the path of the environment"
    says "$PWD/moved: if it was moved"
    without_notes_if_quiet moved
}

@test "conda: each note names a file of its own, and there is none with -q" {
    conda_env env
    change_library env
    $PYTHON - env <<'EOF'
import json, sys
open(sys.argv[1] + "/conda-meta/y-1-0.json", "w").write(json.dumps({"paths_data": {"paths": [
    {"_path": "lib/short", "file_mode": "binary", "prefix_placeholder": "/short"}]}}))
EOF
    pbcast bundle conda env -o b.tar.zst
    done_well
    says "too short to be put right on a node, and keep the path of the environment: 'lib/short'"
    says "changed since they were installed, and keep the path of the environment: 'lib/libx.so'"
    without_notes_if_quiet env
}

@test "conda: what is said of variables counts after what activation sets" {
    conda_env env
    pbcast bundle conda env -o b.tar.zst --set X_HOME=/elsewhere
    done_well
    [[ $(conf | grep -E '^(set|unset)=X_HOME' | tail -1) == set=X_HOME=/elsewhere ]]
    conf | grep -x 'set=X_HOME=@ROOT@/x'
}

@test "conda: what is no environment, or has broken records" {
    pbcast bundle conda t -o b.tar.zst
    refused "is no conda environment"
    mkdir t/conda-meta
    pbcast bundle conda t -o b.tar.zst
    refused "has no record of a package"
    echo '{' >t/conda-meta/x-1-0.json
    pbcast bundle conda t -o b.tar.zst
    refused "x-1-0.json: it is no record of conda"
    conda_env env
    echo 'exit 3' >env/etc/conda/activate.d/x.sh
    pbcast bundle conda env -o b.tar.zst
    refused "what activation sets"
    left_nothing
}

@test "pip: a package and what it needs, offline, the same bytes each time" {
    wheel first second
    wheel second
    $PYTHON -m venv v
    pbcast bundle pip first --python v/bin/python3 --no-index --find-links . -o b.tar.zst
    done_well
    unpack b.tar.zst
    [[ $(head -1 out/bin/first) == '#!/usr/bin/env python3' ]]
    [[ -n $(find out -name '__init__.*.pyc' -path '*second*') ]]
    run env PATH="$PWD/out/bin:$PWD/v/bin:$PATH" PYTHONPATH="$(echo out/lib/python3*/site-packages)" first
    done_well
    says "this is first"
    sleep 1
    pbcast bundle pip first --python v/bin/python3 --no-index --find-links . -q -o c.tar.zst
    cmp b.tar.zst c.tar.zst
    printf 'first==1.0\n' >'req $(touch pwned).txt'
    pbcast bundle pip -r 'req $(touch pwned).txt' --python v/bin/python3 --no-index --find-links . -q -o d.tar.zst
    done_well
    [[ ! -e pwned ]]
}

@test "pip: the distribution's own, whose programs lie in local/" {
    wheel first
    pbcast bundle pip first --python $PYTHON --no-index --find-links . -o b.tar.zst -- --break-system-packages
    done_well
    unpack b.tar.zst
    [[ -x out/bin/first && -n $(find out/local/lib -name first) ]]
}

@test "pip: what fails" {
    export TMPDIR=$PWD/tmp
    mkdir tmp
    wheel first nosuchthing
    $PYTHON -m venv v
    pbcast bundle pip first --python v/bin/python3 --no-index --find-links . -o b.tar.zst
    refused "pip failed (status 1)"
    left_nothing
    pbcast bundle pip --python v/bin/python3 -o b.tar.zst
    refused 2 "give a requirement"
    pbcast bundle pip first --python nosuch -o b.tar.zst
    refused "cannot run nosuch"
    pbcast bundle pip first --python true -o b.tar.zst
    refused "true does not tell where it is: name a Python 3"
    pbcast bundle pip pip --python v/bin/python3 --no-index -o b.tar.zst
    refused "pip installed nothing"
    pbcast bundle pip '$(touch pwned)' --python v/bin/python3 --no-index -o b.tar.zst
    refused "pip failed"
    [[ ! -e pwned ]]
    left_nothing
    [[ -z $(ls tmp) ]]
}

modules() {
    mkdir -p files "sw/a b/bin" "sw/a b/lib" "sw/a b/src" sw/c/share/man
    echo 'echo a' >"sw/a b/bin/prog" && chmod 755 "sw/a b/bin/prog"
    : >"sw/a b/lib/data"
    : >sw/c/share/man/page
    export MODULEPATH=$PWD/files
    unset MODULESHOME LMOD_PKG LOADEDMODULES
    cat >files/a <<EOF
#%Module
prepend-path PATH {$PWD/sw/a b/bin}
prepend-path LD_LIBRARY_PATH {$PWD/sw/a b/lib}
setenv A_HOME {$PWD/sw/a b}
setenv A_LEVEL 3
EOF
    printf '#%%Module\nprepend-path MANPATH %s/sw/c/share/man\nprepend-path PATH /usr/bin\n' "$PWD" >files/c
}

@test "module: a bundle of what it adds to the environment" {
    modules
    pbcast bundle module a -o b.tar.zst
    done_well
    says "no part of a prefix: src"
    unpack b.tar.zst
    [[ -x out/bin/prog && -e out/lib/data && ! -e out/src ]]
    conf | grep -x 'prepend=PATH=@ROOT@/bin'
    conf | grep -x 'prepend=LD_LIBRARY_PATH=@ROOT@/lib'
    conf | grep -x 'set=A_HOME=@ROOT@'
    conf | grep -x set=A_LEVEL=3
    conf | lacks LOADEDMODULES
}

@test "module: what is said of variables counts after what the module says" {
    modules
    pbcast bundle module a c -o b.tar.zst --set A_LEVEL=4 --unset=NOISE --prepend=PATH=@ROOT@/more
    done_well
    # later bundles count last
    conf b.1.tar.zst | grep -x set=A_LEVEL=3
    [[ $(conf b.2.tar.zst | grep -E '^(set=A_LEVEL|unset|prepend=PATH)' | tr '\n' ' ') == "set=A_LEVEL=4 unset=NOISE prepend=PATH=@ROOT@/more " ]]
    rm b.*
    pbcast bundle module a -o b.tar.zst --set A_LEVEL=4
    done_well
    [[ $(conf | grep set=A_LEVEL) == $'set=A_LEVEL=3\nset=A_LEVEL=4' ]]
}

@test "module: of Lmod, whose module command is a function of the user's shell" {
    export LMOD_CMD=/var/cache/pbcast/lmod/usr/share/lmod/lmod/libexec/lmod
    [[ -x $LMOD_CMD ]] || skip "container/install-deps could not get Lmod"
    modules
    rm files/*
    mkdir files/a
    cat >files/a/1.0.lua <<EOF
prepend_path("PATH", "$PWD/sw/a b/bin")
prepend_path("LD_LIBRARY_PATH", "$PWD/sw/a b/lib")
setenv("A_HOME", "$PWD/sw/a b")
EOF
    module() { eval "$("$LMOD_CMD" bash "$@")"; }
    export -f module
    pbcast bundle module a -o b.tar.zst
    done_well
    unpack b.tar.zst
    [[ -x out/bin/prog && -e out/lib/data && ! -e out/src ]]
    conf | grep -x 'prepend=PATH=@ROOT@/bin'
    conf | grep -x 'prepend=LD_LIBRARY_PATH=@ROOT@/lib'
    conf | grep -x 'set=A_HOME=@ROOT@'
    [[ $(conf | grep -cE '^(set|prepend|append|unset)=') == 3 ]]
    pbcast bundle module a/2.0 -o c.tar.zst
    refused "cannot load a"
    left_nothing c.tar.zst
}

@test "module: a bundle for each prefix" {
    modules
    pbcast bundle module a c -o b.tar.zst
    done_well
    [[ ! -e b.tar.zst ]]
    conf b.1.tar.zst | grep -x "origin=$PWD/sw/a b"
    conf b.2.tar.zst | grep -x "origin=$PWD/sw/c"
    conf b.2.tar.zst | grep -x 'prepend=MANPATH=@ROOT@/share/man'
    conf b.2.tar.zst | lacks A_HOME
    ln -s nowhere sw/c/share/broken
    rm b.*
    pbcast bundle module a c -o b.tar.zst
    refused "is a link to nothing"
    left_nothing b.
    # what was there before is not lost
    echo old >b.1.tar.zst
    pbcast bundle module a c -o b.tar.zst
    refused "is a link to nothing"
    conf b.1.tar.zst | grep -x "origin=$PWD/sw/a b"
    [[ $(ls -A) != *b.2* ]]
}

@test "module: only what a list did not have before, whatever its order is now" {
    modules
    mkdir -p old/bin
    printf '#%%Module\nremove-path PATH %s/old/bin\nappend-path PATH %s/old/bin\nprepend-path PATH {%s/sw/a b/bin}\n' \
        "$PWD" "$PWD" "$PWD" >files/order
    PATH=$PWD/old/bin:$PATH pbcast bundle module order -o b.tar.zst
    done_well
    [[ $(conf | grep =PATH=) == prepend=PATH=@ROOT@/bin ]]
}

@test "module: what does not load" {
    modules
    pbcast bundle module nosuch -o b.tar.zst
    refused "cannot load nosuch"
    pbcast bundle module 'a;touch pwned' '$(touch pwned)' -o b.tar.zst
    refused "cannot load"
    [[ ! -e pwned ]]
    pbcast bundle module -o b.tar.zst -- -x
    refused 2 "no name of a module"
    printf '#%%Module\nsetenv X 1\n' >files/nothing
    pbcast bundle module nothing -o b.tar.zst
    refused "point at no directory"
    left_nothing
}

@test "system-libs: what a command loads, dlopen and children included" {
    pbcast bundle system-libs -o b.tar.zst -- sh -c "$PYTHON -c 'import ssl' >/dev/null"
    done_well
    tar -tf b.tar.zst | grep -x lib/libssl.so.3
    tar -tf b.tar.zst | lacks '/libc\.so|/ld-linux|cpython'
    pbcast bundle system-libs --with-libc -o b.tar.zst -- /bin/true
    done_well
    tar -tf b.tar.zst | grep -x lib/libc.so.6
}

@test "system-libs: what could not be noted is not left out in silence" {
    [[ $EUID == 0 ]] || skip "needs root to mount"
    mkdir small
    run unshare --mount sh -c 'mount -t tmpfs -o size=8k none small && TMPDIR=$PWD/small "$@"; echo "status $?"; ls small' \
        - "$PBC_TOOL" bundle system-libs -o b.tar.zst -- "$PYTHON" -c 'import ssl'
    says "what the command loads could not be noted in $PWD/small/pbcast-"
    says "set TMPDIR to a directory with room: No space left on device"
    [[ ${lines[-1]} == "status 4" ]] || said "status 4, and nothing after it"
    left_nothing
}

@test "a signal ends what a command runs, and what that has started" {
    echo 'trap "echo >told; kill \$!; exit" TERM; sleep 100 & echo >started; wait' >child
    "$PBC_TOOL" bundle system-libs -o b.tar.zst -- sh -c 'sh child; :' 2>log &
    appears started
    kill $!
    status=0
    wait $! || status=$?
    output=$(<log)
    [[ $status == 143 ]] || said "an end by the signal"
    appears told
    says "pbcast: error: stopped: "
    left_nothing
}

@test "system-libs: what fails" {
    export TMPDIR=$PWD/tmp
    mkdir tmp
    pbcast bundle system-libs -o b.tar.zst -- false
    refused "false failed (status 1)"
    pbcast bundle system-libs -o b.tar.zst -- nosuch
    refused "cannot run nosuch"
    pbcast bundle system-libs -o b.tar.zst
    refused 2 "give a command behind '--'"
    pbcast bundle system-libs -o b.tar.zst -- /bin/true
    refused "loads no library of the system"
    left_nothing
    [[ -z $(ls tmp) ]]
}
