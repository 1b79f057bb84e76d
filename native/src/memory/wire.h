// The stream of pages from a source to a target: frames of 32 bytes, little endian, some with pages behind them. It travels inside an authenticated
// channel (of the two agents, or of the two helpers themselves); the target checks every length anyway.
#ifndef AETHER_WIRE_H
#define AETHER_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum frame_kind {
  FRAME_KEY = 0x61650001, // first: `pages` words of the key of the page hashes follow; `address` holds the version
  FRAME_PAGES,            // `pages` pages follow
  FRAME_ZERO,             // the pages are zero: nothing follows
  FRAME_FORGET,           // what was sent of these pages is not valid any more; pages 0: all of the space
  FRAME_KEEP,             // frozen: what was sent of these pages is what the process has
  FRAME_MAPPING,        // frozen: a mapping in which pages may be kept: on the target it must be able to take them
  FRAME_SEAL,             // frozen: all of one space was said; `pages` are kept, `address` and `extra` are the two halves of their digest
  FRAME_END,              // nothing follows; `pages` spaces were sealed
  FRAME_OBJECT,           // frozen: what is sealed next is shared memory of `pages` pages, which process `extra` (low half; the high one is its inode) maps at `address`
  FRAME_MARK,             // pass `address` ends here: who reads it says so, since what was sent may be on its way for long
};

struct frame {
  uint32_t kind;
  uint32_t space; // pid of the process as it sees itself, as in criu's images; above 2^31 an object of shared memory
  uint64_t address, pages, extra;
};

#define WIRE_VERSION 3
#define FRAME_MOST_PAGES 4096 // of FRAME_PAGES and FRAME_ZERO, sixteen times what a source sends: a short frame cannot ask for much memory

// One end of a stream.
struct wire {
  int data; // leads to our caller: the frames themselves, or the connection on which they are
  struct tls *tls;
  int connection; // with TLS
};

// What comes first on `data` says how: a descriptor is a connection for TLS, whose offer follows; anything else is the stream itself. An offer that fails is told
// ("connection" with its reason), and the next one is awaited. -1 and `*reason` where the caller went away.
int wire_accept(struct wire *wire, int data, const char **reason);

// The other end: frames go to `data` itself, or over a connection that is handed through it. -1 and `*reason`.
int wire_open(struct wire *wire, int data, int is_handed, const char **reason);

// All or nothing: 0, or -1 with errno (EPIPE at the end of the stream). What is written may wait for `wire_flush`.
int wire_read(struct wire *wire, void *bytes, size_t length);
int wire_write(struct wire *wire, struct iovec *parts, int count);
int wire_flush(struct wire *wire);

// Has the reader gone away? A writer that has nothing to send would not notice. 0 where our caller would tell.
int wire_is_over(const struct wire *wire);

// That went over a connection of our own; 0 where our caller carries the frames.
uint64_t wire_bytes(const struct wire *wire);

// How long such a connection waited for the link itself, ms (tls_link_ms).
double wire_link_ms(const struct wire *wire);

void wire_close(struct wire *wire);

// The same from a plain descriptor.
int read_exactly(int fd, void *bytes, size_t length);

#endif
