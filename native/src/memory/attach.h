// A userfaultfd of another process's memory. The kernel gives one only to the process itself, so it is made to ask: one system call, injected with ptrace.
#ifndef AETHER_ATTACH_H
#define AETHER_ATTACH_H

#include <sys/types.h>

// Returns a userfaultfd with asynchronous write-protection of the memory of `pid`, or -1 and `reason`. The process's main thread is stopped for about a
// millisecond (`*stopped_us`), its other threads run on; afterwards nothing of it is left in the process.
int attach_uffd(pid_t pid, long *stopped_us, const char **reason);

#endif
