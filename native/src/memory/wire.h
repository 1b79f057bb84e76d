// The stream of pages from a source to a target: frames of 32 bytes, little endian, some with pages behind them. It travels inside an authenticated
// channel; the target checks every length anyway.
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

// More may be on its way to the reader: fewer turns on a busy processor.
void wire_widen(int fd);

// All or nothing: 0, or -1 with errno (EPIPE at the end of the stream).
int read_exactly(int fd, void *bytes, size_t length);
int writev_exactly(int fd, struct iovec *parts, int count);

#endif
