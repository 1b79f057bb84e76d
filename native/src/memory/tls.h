// TLS 1.3 between two helpers, over a connection of their own: both show the X.509-SVID of their node, and each lets in exactly one SPIFFE ID. The rules are
// those of packages/kit/src/identity/tls.ts. Built only where OpenSSL's static libraries are; without them `tls_open` always fails, and pages go through the agents.
#ifndef AETHER_TLS_H
#define AETHER_TLS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Of one handshake. PEM, each ended by a NUL. The key is wiped by `tls_open`, whatever comes of it.
struct tls_identity {
  const char *peer; // the one SPIFFE ID that may be at the other end
  const char *chain;
  char *key;
  const char *bundle;
};

struct tls;

// OpenSSL's version; NULL where this program was built without it.
const char *tls_version(void);

// Handshake over `fd`, which belongs to the answer from then on. `life`: a descriptor whose end, or any word on it, ends all waiting. Ten seconds, also for what is
// read and written next, until `tls_be_patient`. NULL and `*reason` where the peer is not who it should be; the descriptor is still the caller's then.
struct tls *tls_open(int fd, int life, struct tls_identity *identity, int is_server, const char **reason);

// All or nothing: 0, or -1 with errno. What is written may wait for more until `tls_flush`.
int tls_read(struct tls *tls, void *bytes, size_t length);
int tls_write(struct tls *tls, const void *bytes, size_t length);
int tls_flush(struct tls *tls);

// The same without waiting: what can be read or written at once. -1 with errno, EAGAIN where it is nothing for now; a reader gets 0 at the peer's goodbye. After EAGAIN
// of a write the same bytes must come again. 0 of `tls_flush_some`: all is with the kernel.
ssize_t tls_read_some(struct tls *tls, void *bytes, size_t length);
ssize_t tls_write_some(struct tls *tls, const void *bytes, size_t length);
int tls_flush_some(struct tls *tls);

// Nothing more will be written.
void tls_say_end(struct tls *tls);

// The greeting is over: from now on a reader waits for as long as it takes.
void tls_be_patient(struct tls *tls);

// From now on the descriptor `life` does not matter.
void tls_outlive(struct tls *tls);

// That went out over the connection so far.
uint64_t tls_wire_bytes(const struct tls *tls);

// How long it waited for the link itself so far, ms: not for this program to have something to send, nor for the peer to take it.
double tls_link_ms(const struct tls *tls);

// Tells the peer that this is the end, and closes.
void tls_close(struct tls *tls);

#endif
