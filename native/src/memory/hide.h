// criu dump is kept from collecting pages that the target has. It asks the kernel for each mapping which pages are there (PAGEMAP_SCAN), and for each object of
// shared memory where it holds anything (SEEK_DATA); these two questions are answered by the tracker, who leaves out what is kept. All else criu does is its own.
#ifndef AETHER_HIDE_H
#define AETHER_HIDE_H

#include "space.h"

// The same answers beforehand, for a criu that reads them (native/criu/0005-pages-held.patch). Who is under no filter of ours may dump a workload that has one of its own.
void hide_write(const char *path, struct space *const *spaces, int count);

// Installs the filter that hands PAGEMAP_SCAN over, and passes its descriptor to the tracker that listens at `path`. The filter stays through exec.
void hide_install(const char *path);

// Listens at `path`; a thread answers until the process ends. `find`: the space of a pid, or NULL (then the question goes to the kernel as it is).
void hide_listen(const char *path, const struct space *(*find)(pid_t pid));

// Questions answered, and pages left out, so far.
void hide_counts(unsigned long *answers, unsigned long *pages);

#endif
