#!/usr/bin/env bats
# pbcast bundle: library paths (RUNPATH, RPATH) that lead into the tree hold where it is unpacked.
load support

PYTHON=/usr/bin/python3

# library FILE SONAME TEXT [OPTION...]: with a function that gives back the text.
library() {
    local file=$1 soname=$2 text=$3
    shift 3
    printf 'const char *text(void) { return "%s"; }\n' "$text" >l.c
    gcc -shared -fPIC l.c -o "$file" -Wl,-soname,"$soname" "$@"
}
# program FILE LIBRARY OPTION...: prints the text of the library.
program() {
    local file=$1 library=$2
    shift 2
    printf '#include <stdio.h>\nconst char *text(void);\nint main(void) { return puts(text()) < 0; }\n' >p.c
    gcc p.c "$library" -o "$file" "$@"
}
# The library path of a file, with its kind: "RUNPATH $ORIGIN/../lib".
path_of() { readelf -d "$1" | sed -n 's/.*(\(R[A-Z]*PATH\)).*\[\(.*\)\]/\1 \2/p'; }
has_path() { # FILE PATH
    local path
    path=$(path_of "$1")
    [[ $path == "$2" ]] || said "$1 with $2, not $path"
}
# A tree whose program finds its library by where the tree lies.
tree() { # OPTION...
    mkdir -p t/bin t/lib
    library t/lib/libx.so.1 libx.so.1 'the staged one'
    program t/bin/prog t/lib/libx.so.1 "$@"
}
# Without a variable that would help the loader.
alone() { run env -u LD_LIBRARY_PATH "$@"; }

@test "a path into the tree is relative in the bundle, and the tree stays as it is" {
    tree -Wl,-rpath,"$PWD/t/lib"
    cp -a t before
    pbcast bundle prefix t -o b.tar.zst
    done_well
    says_no "stay absolute"
    diff -r t before
    pbcast check b.tar.zst
    done_well
    unpack b.tar.zst
    has_path out/bin/prog 'RUNPATH $ORIGIN/../lib'
    [[ $(stat -c '%s %Y' out/bin/prog) == "$(stat -c '%s %Y' t/bin/prog)" ]]
    rm -r t
    alone out/bin/prog
    done_well
    says 'the staged one'
    mv out elsewhere
    alone elsewhere/bin/prog
    says 'the staged one'
}

@test "the same in a directory, at another place, as another kind of archive, and each time" {
    tree -Wl,-rpath,"$PWD/t/lib" -Wl,--disable-new-dtags
    pbcast bundle dir t --at app -o b.tar.zst
    done_well
    pbcast check b.tar.zst
    done_well
    unpack b.tar.zst
    has_path out/app/bin/prog 'RPATH $ORIGIN/../lib'
    pbcast bundle dir t --at app -q -o c.tar.zst
    cmp b.tar.zst c.tar.zst
    pbcast bundle dir t --at app -q -o b.tar.gz
    unpack b.tar.gz other
    diff -r out other
    pbcast inspect b.tar.gz
    says "as stated"
    rm -r t
    alone out/app/bin/prog
    says 'the staged one'
}

@test "what is not packed keeps its place in the path, what comes twice goes" {
    tree -Wl,-rpath,"/opt/vendor/lib:$PWD/t/lib/:$PWD/t/./bin/../lib:$PWD/t/gone:\$ORIGIN/plugins:$PWD/t"
    pbcast bundle prefix t -o b.tar.zst
    done_well
    unpack b.tar.zst
    has_path out/bin/prog "RUNPATH /opt/vendor/lib:\$ORIGIN/../lib:$PWD/t/gone:\$ORIGIN/plugins:\$ORIGIN/.."
    pbcast check -a b.tar.zst
    says "bin/prog: RUNPATH /opt/vendor/lib"
    says "bin/prog: RUNPATH $PWD/t/gone"
    says_no "RUNPATH \$ORIGIN"
    pbcast bundle prefix t bin -o b.tar.zst
    done_well
    unpack b.tar.zst part
    has_path part/bin/prog "RUNPATH /opt/vendor/lib:$PWD/t/lib/:$PWD/t/./bin/../lib:$PWD/t/gone:\$ORIGIN/plugins:\$ORIGIN/.."
}

@test "a library that is left out is still found where it is" {
    tree -Wl,-rpath,"$PWD/t/lib"
    cp t/lib/libx.so.1 t/lib/libother.so
    pbcast bundle prefix t --exclude 'libx.so*' -o b.tar.zst
    done_well
    unpack b.tar.zst
    has_path out/bin/prog "RUNPATH $PWD/t/lib"
    alone out/bin/prog
    says 'the staged one'
}

@test "by a link to the tree, and to a directory of it" {
    ln -s t way
    ln -s lib t/lib64
    tree -Wl,-rpath,"$PWD/way/lib:$PWD/t/lib64"
    library t/lib/liby.so liby.so other -Wl,-rpath,"$PWD/t/lib"
    pbcast bundle prefix t -o b.tar.zst
    done_well
    unpack b.tar.zst
    has_path out/bin/prog 'RUNPATH $ORIGIN/../lib:$ORIGIN/../lib64'
    has_path out/lib/liby.so 'RUNPATH $ORIGIN'
}

@test "too little room: the path stays, which is told, and found by check" {
    local deep
    deep=t/bin/$(printf 'd/%.0s' $(seq 100))
    tree -Wl,-rpath,"$PWD/t/lib"
    mkdir -p "$deep"
    cp t/bin/prog "$deep/deep"
    pbcast bundle prefix t -o b.tar.zst
    done_well
    says "library paths (RUNPATH, RPATH) that lead into the tree and stay absolute: 1, that of bin/d/d/"
    unpack b.tar.zst
    cmp "out${deep#t}/deep" "$deep/deep"
    pbcast check b.tar.zst
    [[ $status == 7 ]]
    says "library paths that leave the bundle (RPATH, RUNPATH) (1)"
    pbcast bundle prefix t -q -o b.tar.zst
    [[ -z $output ]]
}

@test "a path that ends with another string of the file stays" {
    mkdir -p t/lib/some_text
    # the linker lets the function's name be the end of the path
    printf 'int some_text(void) { return 1; }\n' >s.c
    gcc -shared -fPIC s.c -o t/lib/libs.so -Wl,-rpath,"$PWD/t/lib/some_text"
    pbcast bundle prefix t -o b.tar.zst
    done_well
    says "stay absolute: 1, that of lib/libs.so (another string of the file may use its bytes)"
    unpack b.tar.zst
    cmp out/lib/libs.so t/lib/libs.so
}

@test "a library that is also reached from another directory keeps its path, a program does not" {
    tree -Wl,-rpath,"$PWD/t/lib"
    mkdir -p t/lib/sub t/libexec
    library t/lib/sub/liby.so liby.so other -Wl,-rpath,"$PWD/t/lib"
    library t/lib/sub/libz.so.1 libz.so.1 other -Wl,-rpath,"$PWD/t/lib"
    ln -s sub/liby.so t/lib/liby.so
    ln -s libz.so.1 t/lib/sub/libz.so
    ln -s ../bin/prog t/libexec/prog
    pbcast bundle prefix t -o b.tar.zst
    done_well
    says "stay absolute: 1, that of lib/sub/liby.so (it has a name in another directory too)"
    unpack b.tar.zst
    has_path out/bin/prog 'RUNPATH $ORIGIN/../lib'
    has_path out/lib/sub/liby.so "RUNPATH $PWD/t/lib"
    has_path out/lib/sub/libz.so.1 'RUNPATH $ORIGIN/..'
    mv t gone
    alone out/libexec/prog
    says 'the staged one'
}

@test "names of one file stay one file" {
    tree -Wl,-rpath,"$PWD/t/lib"
    ln t/bin/prog t/bin/same
    program t/bin/other t/lib/libx.so.1 -Wl,-rpath,"$PWD/t/lib"
    mkdir t/libexec
    ln t/bin/other t/libexec/other
    pbcast bundle prefix t -o b.tar.zst
    done_well
    says "stay absolute: 1, that of bin/other"
    unpack b.tar.zst
    [[ out/bin/prog -ef out/bin/same && out/bin/other -ef out/libexec/other ]]
    has_path out/bin/same 'RUNPATH $ORIGIN/../lib'
    has_path out/libexec/other "RUNPATH $PWD/t/lib"
}

@test "files that are none, or broken, or sparse" {
    tree -Wl,-rpath,"$PWD/t/lib"
    head -c 200 t/bin/prog >t/bin/cut
    head -c 2000 t/bin/prog >t/lib/libcut.so
    printf '\177ELF' >t/lib/libshort.so
    head -c 100000 /dev/urandom >t/lib/librandom.so
    : >t/lib/libempty.so
    chmod 755 t/bin/cut
    cp t/bin/prog t/bin/sparse
    truncate -s 10M t/bin/sparse
    pbcast bundle prefix t -o b.tar.zst
    done_well
    unpack b.tar.zst
    cmp out/bin/cut t/bin/cut
    cmp out/lib/libcut.so t/lib/libcut.so
    cmp out/lib/librandom.so t/lib/librandom.so
    has_path out/bin/sparse 'RUNPATH $ORIGIN/../lib'
    [[ $(stat -c %s out/bin/sparse) == 10485760 && $(stat -c %b out/bin/sparse) -lt 1000 ]]
    pbcast inspect b.tar.zst
    says "as stated"
}

@test "conda: what was built in the environment itself" {
    tree -Wl,-rpath,"$PWD/t/lib"
    mkdir t/conda-meta
    echo '{"name": "x", "paths_data": {"paths": []}}' >t/conda-meta/x-1-0.json
    pbcast bundle conda t -o b.tar.zst
    done_well
    unpack b.tar.zst
    has_path out/bin/prog 'RUNPATH $ORIGIN/../lib'
    pbcast check b.tar.zst
    done_well
}

# A Python that was built with the place of its library in it, as pyenv and others do, and an
# environment with a library that needs one of the base.
python_with_path() {
    local version library
    version=$($PYTHON -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    library=$(echo /usr/lib/*/libpython"$version".so.1.0)
    [[ -e $library ]] || said "$library, of the package libpython$version"
    mkdir -p "built/lib" built/bin
    cp "$library" built/lib/
    ln -s "libpython$version.so.1.0" "built/lib/libpython$version.so"
    cp -a "/usr/lib/python$version" built/lib/
    rm -rf "built/lib/python$version/"{sitecustomize.py,config-*}
    printf 'int Py_BytesMain(int, char **);\nint main(int n, char **a) { return Py_BytesMain(n, a); }\n' >python.c
    gcc python.c "$library" -o "built/bin/python$version" -Wl,-rpath,"$PWD/built/lib"
    ln -s "python$version" built/bin/python3
    printf '#!%s/built/bin/python3\nanswer = 42\n' "$PWD" >"built/lib/python$version/tool.py"
    chmod 755 "built/lib/python$version/tool.py"
    library built/lib/libdeep.so.1 libdeep.so.1 'of the base'
    built/bin/python3 -m venv --without-pip v
    site=lib/python$version/site-packages
    mkdir "v/$site/mine"
    printf 'const char *text(void);\nconst char *mine(void) { return text(); }\n' >m.c
    gcc -shared -fPIC m.c built/lib/libdeep.so.1 -o "v/$site/mine/native.so" -Wl,-rpath,"$PWD/built/lib"
    cat >"v/$site/mine/__init__.py" <<'END'
import ctypes, os
native = ctypes.CDLL(os.path.join(os.path.dirname(__file__), 'native.so'))
native.mine.restype = ctypes.c_char_p
text = native.mine().decode()
END
}

@test "venv: of a base that was built with its place in it nothing points back" {
    python_with_path
    pbcast bundle venv v -o b.tar.zst
    done_well
    pbcast check -a b.tar.zst
    says_no "library paths that leave"
    says_no "tool.py"
    unpack b.tar.zst
    has_path "$(echo out/base/bin/python3.*)" 'RUNPATH $ORIGIN/../lib'
    has_path "out/$site/mine/native.so" 'RUNPATH $ORIGIN/../../../../base/lib'
    [[ $(head -1 "out/base/${site%/*}/tool.py") == '#!/usr/bin/env python3' ]]
    mv built gone
    mv v away
    # the loader's variable stays unset: the paths alone have to do
    run env -i PATH="$PWD/out/bin:/usr/bin:/bin" PYTHONHOME="$PWD/out/base" PYTHONNOUSERSITE=1 \
        python3 -v -c 'import mine, tool; print(mine.text, tool.answer)
own = [l.split()[-1] for l in open("/proc/self/maps") if "/out/" in l]
print({p.split("/out/")[1] for p in own if "python3" in p and "/lib/libpython" in p or "libdeep" in p})'
    done_well
    says "of the base 42"
    says "base/lib/libpython3."
    says "base/lib/libdeep.so.1"
    says_no "# wrote "
}
