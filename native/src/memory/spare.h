// Second descriptors of another process's userfaultfds. While one of them is open, whoever touches a page that is missing waits; with the last one closed, the kernel gives him zeros.
#ifndef AETHER_SPARE_H
#define AETHER_SPARE_H

#include <sys/types.h>

// Takes those that the process has opened since the last look, and lets go of those that it has closed itself: nothing is missing there any more. Those of a process that has ended, or
// is about to, are kept. `pidfd` is of the same process.
void spare_look(pid_t owner, int pidfd);

#endif
