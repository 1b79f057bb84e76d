// Joins a connection of the helpers' own to a socket on this host, both ways, each as fast as its reader takes it. When the connection is lost, or the process that served it is killed,
// another one goes on where it ended: each side first says how much its local socket has been given, and the other one says again what is missing. How much that is, and how much was
// read from it, the kernel knows of the socket itself, whoever was killed in between.
#ifndef AETHER_RELAY_H
#define AETHER_RELAY_H

#include <stddef.h>

#include "tls.h"

enum relay_end {
  RELAY_HERE, // `local` was closed, and all that it said has left
  RELAY_PEER, // the peer has said its last word, and `local` has it
  RELAY_LOST, // the connection broke, or another one is offered
  RELAY_GAP,  // more is missing than anybody remembers
};

// The last of what a local socket said: shared with the children of the process that opened it.
struct relay_memory;

// `bytes`: more than can be on its way to the peer at any time. NULL with errno.
struct relay_memory *relay_remember(size_t bytes);

// Before anybody reads from `local` or writes to it. Safe to repeat.
int relay_begin(struct relay_memory *memory, int local);
int relay_has_begun(const struct relay_memory *memory);

// Carries until one side ends. Neither is closed. `offers`: whatever can be read there is a new connection, and this one is over; -1: there are none.
enum relay_end relay(struct tls *tls, int connection, int local, struct relay_memory *memory, int offers);

// The same without TLS, where the agents carry: through a socket to ours, and for as long as it lives. Of what was read by somebody who is killed nobody knows: there is no other one then.
enum relay_end relay_plain(int data, int local);

// Says goodbye, waits a moment for the peer to have read all, and closes: what nobody has read yet would be lost with a connection that is closed at once.
void relay_goodbye(struct tls *tls, int connection);

// Of a new connection: it does not end with our agent; a peer that is gone without a word is noticed within a minute, also while nothing is said; and no more than 16 MiB are on their way.
void relay_prepare(struct tls *tls, int connection);

#endif
