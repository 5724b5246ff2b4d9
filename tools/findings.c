#include "findings.h"

#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct pbc_finding_words pbc_finding_words[PBC_FINDINGS_COUNT] = {
    [PBC_FINDING_REFUSED] = {PBC_ERROR, "the bundle would be refused",
                             "No node unpacks it: the job would not start.",
                             "Make it anew with pbcast bundle, which says what is in the way."},
    [PBC_FINDING_CHANGED] = {PBC_ERROR, "the bundle is not what its bundle.conf says",
                             "It was changed after it was made, or made by something else.",
                             "Make it anew, or remove .pbcast/bundle.conf from it."},
    [PBC_FINDING_LINK_OUT] =
        {PBC_ERROR, "symbolic links that leave the bundle",
         "They are refused when the bundle is unpacked.",
         "Make it anew with pbcast bundle: links into the tree become relative, "
         "--follow packs what others lead to, --exclude leaves them out."},
    [PBC_FINDING_LINK_NOWHERE] = {PBC_WARNING, "symbolic links to what is not in the bundle",
                                  "Whoever opens them finds nothing, unless another bundle of the "
                                  "set has it.",
                                  "Pack what they lead to, or leave them out with --exclude."},
    [PBC_FINDING_SETID] = {PBC_ERROR, "set-user-id or set-group-id files",
                           "They are refused when the bundle is unpacked.",
                           "Take the bits away (chmod ug-s), or leave them out with --exclude."},
    [PBC_FINDING_TOO_LARGE] =
        {PBC_ERROR, "larger than the store", "No node has room for it.",
         "Leave out what the job does not need (pbcast inspect shows where it "
         "is), or ask for a larger store."},
    [PBC_FINDING_LARGE] = {PBC_WARNING, "more than half of the store",
                           "A store is memory as a rule, which the job's tasks lack then.",
                           "Leave out what the job does not need: tests, documents, static "
                           "libraries, caches. pbcast inspect shows where it is."},
    [PBC_FINDING_MACHINE] =
        {PBC_WARNING, "files of another machine architecture",
         "They cannot run on nodes like this machine.",
         "Leave them out with --exclude, or make the bundle where it is to run."},
    [PBC_FINDING_BROKEN_ELF] = {PBC_WARNING, "broken programs or libraries",
                                "Their headers make no sense: the loader refuses them.",
                                "Install them anew, or leave them out."},
    [PBC_FINDING_RPATH] = {PBC_WARNING, "library paths that leave the bundle (RPATH, RUNPATH)",
                           "The loader looks there, on the shared file system as a rule, in each "
                           "process; an RPATH before all else.",
                           "pbcast bundle makes those into its tree relative where they have "
                           "room; for others patchelf --set-rpath '$ORIGIN/../lib' FILE, with "
                           "the way to the bundle's libraries, and make the bundle anew."},
    [PBC_FINDING_NEEDED] = {PBC_WARNING, "libraries that the bundle does not have",
                            "Each node must have them, in a version that fits.",
                            "If they are no part of the nodes' system: pbcast bundle system-libs."},
    [PBC_FINDING_SCRIPT] =
        {PBC_WARNING, "scripts that start a program outside the bundle",
         "They run another interpreter than the staged one, from the shared file "
         "system as a rule.",
         "pbcast bundle prefix puts those right that name the prefix itself; "
         "else begin them with #!/usr/bin/env NAME."},
    [PBC_FINDING_VENV] = {PBC_ERROR, "a virtual environment without its interpreter",
                          "It starts the Python that it was made with, from where that lies.",
                          "pbcast bundle venv packs both."},
    [PBC_FINDING_PTH] = {PBC_WARNING, ".pth files that name paths outside the bundle",
                         "Python looks there for modules in each process.",
                         "Install what they point at into the tree, and remove them."},
    [PBC_FINDING_EDITABLE] =
        {PBC_WARNING, "packages that are installed editable",
         "Their modules are imported from the directory that they are "
         "developed in.",
         "Install them without -e (pip install DIR), and make the bundle anew."},
    [PBC_FINDING_PYC_MISSING] = {PBC_WARNING, "Python modules without a compiled one",
                                 "Every node compiles them in every job.",
                                 "pbcast bundle prefix compiles them; or python3 -m compileall."},
    [PBC_FINDING_PYC_STALE] = {PBC_WARNING, "compiled Python modules that do not fit their source",
                               "Every node compiles them anew in every job: times were lost, by a "
                               "copy or by tar --mtime.",
                               "pbcast bundle prefix compiles them; or python3 -m compileall -f."},
    [PBC_FINDING_CASE] = {PBC_NOTE, "names that differ in case only",
                          "On a file system that ignores case one replaces the other.",
                          "Rename one, if the store is on such a file system."},
    [PBC_FINDING_ONE_STREAM] = {PBC_NOTE, "one stream",
                                "One processor of each node unpacks it, however many there are.",
                                "pbcast convert makes a bundle of frames of it."},
};

int pbc_finding(struct pbc_findings *f, enum pbc_finding kind, struct pbc_error *err,
                const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    char **more;

    f->of[kind].count++;
    if (f->of[kind].kept == PBC_PLACES_KEPT)
        return 0;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    pbc_text_plain(text, strlen(text));
    more = reallocarray(f->of[kind].place, f->of[kind].kept + 1, sizeof(*more));
    if (more == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for findings");
    f->of[kind].place = more;
    more[f->of[kind].kept] = strdup(text);
    if (more[f->of[kind].kept] == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for findings");
    f->of[kind].kept++;
    return 0;
}

void pbc_findings_free(struct pbc_findings *f)
{
    for (size_t k = 0; k < PBC_FINDINGS_COUNT; k++) {
        for (size_t i = 0; i < f->of[k].kept; i++)
            free(f->of[k].place[i]);
        free(f->of[k].place);
    }
    memset(f, 0, sizeof(*f));
}
