// Memory that several mappings may share (mmap MAP_SHARED|MAP_ANONYMOUS, memfd): one object, whoever maps it.
#ifndef AETHER_OBJECT_H
#define AETHER_OBJECT_H

#include <stdio.h>
#include <sys/types.h>

#include "round.h"

struct object {
  struct space sent; // what was sent of it, by offset; its id is above every pid
  dev_t device;
  ino_t inode;
  int fd;
  unsigned pass;     // of the last look at the mappings that showed it
  unsigned pid;      // a process that maps it, as it sees itself, and where
  uint64_t at;
  int is_hidden;     // frozen: criu need not look at it
};

// Ids of objects in the stream: those of processes end below.
#define OBJECT_ID 0x80000000u

// Called for each shared mapping of a space that is tracked (space_read_maps): finds or opens its object.
void object_seen(const struct space *space, const char *range, dev_t device, ino_t inode);

// From here to the next call the mappings are read anew: what none of them shows is gone.
void objects_begin(void);
void objects_end(const struct stream *stream);

// Is there any?
int objects_known(void);

// Sends what differs from what was sent, of every object, while its writers run. The time it took, ms.
double objects_live(const struct stream *stream, struct round_counts *counts);

// Frozen: those that criu need not look at, among them none that nobody has looked at before.
void objects_hide(void);

// Frozen: compares every page with what was sent, sends the rest, names and seals. Returns the number of objects; -1: one cannot be read. `said` hears of each.
int objects_frozen(const struct stream *stream, struct round_counts *counts, uint64_t *kept, void (*said)(unsigned id, uint64_t pages, hash_t digest));

// A line of criu's --pages-held for each of them.
void objects_write_hidden(FILE *file);

// After objects_frozen, where more passes follow: what was not kept counts as not sent.
void objects_go_on(const struct hash_key *key);

// For a sample of how much is written: of every `stride`-th block (BLOCK_PAGES) from `first` on, the pages that differ from the look before; the first look finds none.
// `*looked_at` and `*whole`: bytes that were compared, and all that the objects hold.
uint64_t objects_look(const struct hash_key *key, uint64_t stride, uint64_t first, int is_first, uint64_t *looked_at, uint64_t *whole);

// Is this descriptor's object hidden from criu?
int object_is_hidden(dev_t device, ino_t inode);

#endif
