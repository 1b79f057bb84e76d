// How an agent gives a TCP connection to a helper that runs already: Node cannot send a descriptor, but what it starts may inherit two.
#ifndef AETHER_HAND_OVER_H
#define AETHER_HAND_OVER_H

// Comes with the descriptor. Its lowest byte is that of no frame (wire.h).
#define HANDED_CONNECTION 0x00006466
// On the connection itself, before TLS: the helper that listens has it.
#define HANDED_WORD "go\n"

#endif
