// 128 bits that stand for a page, and a digest over many pages that does not depend on the order in which they came.
//
// The hash is NH (Black, Halevi, Krawczyk, Krovetz, Rogaway: UMAC, CRYPTO 1999) over 64-bit words with 128-bit sums: two different pages have the same
// hash with a chance of 2^-64, over a key of random words that is made for each move. It finds every accident; whoever knows the key could deceive it, and
// the channel's own authentication is there against that. A page costs some 0.2 microseconds.
#ifndef AETHER_PAGE_HASH_H
#define AETHER_PAGE_HASH_H

#include <stdint.h>

typedef unsigned __int128 hash_t;

#define HASH_KEY_WORDS 520 // one for each word of a page, and eight for the digest

struct hash_key {
  uint64_t words[HASH_KEY_WORDS];
};

void hash_key_make(struct hash_key *key);

// *is_zero: no bit of the page is set.
hash_t hash_page(const struct hash_key *key, const void *page, int *is_zero);

// The share of one page in the digest of its space: shares are added.
hash_t hash_share(const struct hash_key *key, uint64_t address, hash_t page);

#endif
