// Two joined TCP sockets for criu's protocol of pages, which asks nobody who he is. No port is listened on where anybody else could be first, and nobody else sees what goes by: they are in a
// network namespace of their own, in which there is no process, and which ends with them. TCP and not a socketpair: of TCP the kernel says how much was ever read and written (relay.h).
#ifndef AETHER_PAIR_H
#define AETHER_PAIR_H

// 0, or -1 with errno. The calling thread is in its own network again when this returns; it ends the program where it cannot go back. Needs CAP_SYS_ADMIN.
int pair_open(int pair[2]);

#endif
