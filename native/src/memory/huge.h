// Huge pages in another process' memory, where it has none by itself: a fork copies each as one entry, and not a page table of 512.
#ifndef AETHER_HUGE_H
#define AETHER_HUGE_H

#include <stdint.h>
#include <sys/types.h>

#define HUGE_BYTES (2ull << 20)

// What huge pages cost on this machine.
struct huge_price {
  unsigned made;
  int64_t us; // that these took
};

int64_t huge_clock_us(void);

// One has been made, in so long. What was refused is none: it is quick, or slow, for reasons of its own.
void huge_paid(struct huge_price *price, int64_t took_us);

// Have enough been made to say it?
int huge_is_told(const struct huge_price *price);

// Do they cost more than small ones? A hypervisor that takes back free memory in such pieces has to give each of them anew.
int huge_is_dear(const struct huge_price *price);

struct huge {
  int pidfd;
  unsigned failures; // without a success between them
  struct huge_price price;
};

void huge_begin(struct huge *huge, pid_t pid);
void huge_end(struct huge *huge);

// 0 where the kernel is too old, the right is missing, or it found none several times.
int huge_is_possible(const struct huge *huge);

// Makes the HUGE_BYTES at `place`, of which some page is there, one page: what is there stays, the rest is zero. 0 where it is not, and all is as it was.
int huge_make(struct huge *huge, uint64_t place);

#endif
