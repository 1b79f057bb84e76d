#ifndef AETHER_MEND_H
#define AETHER_MEND_H

// Takes every TCP socket of the processes listed in this file (a cgroup's cgroup.procs) out of repair mode. Returns how many were in it.
int mend_sockets(const char *procs);

#endif
