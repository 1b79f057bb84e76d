// Joins a connection of the helpers' own to a socket on this host, both ways, each as fast as its reader takes it.
#ifndef AETHER_RELAY_H
#define AETHER_RELAY_H

#include "tls.h"

enum relay_end {
  RELAY_HERE, // `local` was closed, and all that it said has left
  RELAY_PEER, // the peer has said its last word, and `local` has it
  RELAY_LOST, // the connection broke
};

// Carries until one side ends. Neither is closed.
enum relay_end relay(struct tls *tls, int connection, int local);

// Says goodbye, waits a moment for the peer to have read all, and closes: what nobody has read yet would be lost with a connection that is closed at once.
void relay_goodbye(struct tls *tls, int connection);

// A peer that is gone without a word is noticed within a minute, also while nothing is said.
void relay_notice_silence(int connection);

#endif
