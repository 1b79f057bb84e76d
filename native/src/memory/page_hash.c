#include "page_hash.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "pagemap.h"
#include "report.h"

void hash_key_make(struct hash_key *key) {
  char *at = (char *)key->words;
  for (size_t left = sizeof key->words; left > 0;) {
    ssize_t got = getrandom(at, left, 0);
    if (got < 0 && errno != EINTR) fail(errno, "memory: no random key");
    if (got > 0) at += got, left -= (size_t)got;
  }
}

hash_t hash_page(const struct hash_key *key, const void *page, int *is_zero) {
  const uint64_t *words = page, *k = key->words;
  hash_t a = 0, b = 0;
  uint64_t any = 0;
  for (int i = 0; i < (int)(PAGE_BYTES / 8); i += 4) {
    a += (hash_t)(words[i] + k[i]) * (words[i + 1] + k[i + 1]);
    b += (hash_t)(words[i + 2] + k[i + 2]) * (words[i + 3] + k[i + 3]);
    any |= words[i] | words[i + 1] | words[i + 2] | words[i + 3];
  }
  *is_zero = any == 0;
  return a + b;
}

hash_t hash_share(const struct hash_key *key, uint64_t address, hash_t page) {
  const uint64_t *k = key->words + PAGE_BYTES / 8;
  uint64_t low = (uint64_t)page, high = (uint64_t)(page >> 64);
  return (hash_t)(address + k[0]) * (low + k[1]) + (hash_t)(high + k[2]) * ((address >> 12) + k[3]) + (hash_t)(low + k[4]) * (high + k[5]);
}
