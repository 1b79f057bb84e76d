// memory-keep: the other end of a memory-source on the same host. Keeps what was copied while the workload ran, and when criu has dumped the rest, puts both
// together: pagemap and pages images as criu alone would have written them, so that whoever reads them need not know. Zero pages are left out: what is
// tracked is anonymous memory, private or shared, which begins as zeros.
// Then it begins anew, for the next snapshot: of pages that were put away only the hash is left. They are holes in the next pages image, which
// elsewhere-N names as pairs of 64 bits: the first page in the image, and how many.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands.h"
#include "options.h"
#include "pagemap.h"
#include "report.h"
#include "store.h"
#include "wire.h"

enum { max_spaces = 4096, flag_present = 1 << 2, flag_parent = 1 << 0 };

static struct store store;
static uint32_t sealed[max_spaces];
static int sealed_count;

static void on_sealed(uint32_t space, uint64_t pages, hash_t digest) {
  if (sealed_count == max_spaces) fail(0, "memory-keep: more than %d processes", max_spaces);
  sealed[sealed_count++] = space;
  say(STDOUT_FILENO, "{\"event\":\"space\",\"space\":%u,\"pages\":%" PRIu64 ",\"digest\":\"%016" PRIx64 "%016" PRIx64 "\"}", space, pages, (uint64_t)(digest >> 64), (uint64_t)digest);
}

struct file {
  const unsigned char *bytes;
  size_t length;
};

static struct file map_whole(const char *name) {
  struct stat about;
  struct file file = {0};
  int fd = open(name, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &about) < 0) fail(errno, "memory-keep: %s", name);
  file.length = (size_t)about.st_size;
  if (file.length > 0) {
    void *bytes = mmap(NULL, file.length, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) fail(errno, "memory-keep: %s", name);
    file.bytes = bytes;
  }
  close(fd);
  return file;
}

// An image that is written beside the old one and takes its place at the end.
struct output {
  FILE *stream;
  char name[64], beside[80];
  uint64_t length;
};

static void output_open(struct output *output, const char *name) {
  snprintf(output->name, sizeof output->name, "%s", name);
  snprintf(output->beside, sizeof output->beside, "%s.new", name);
  int fd = open(output->beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || !(output->stream = fdopen(fd, "w"))) fail(errno, "memory-keep: %s", output->beside);
}

static void output_write(struct output *output, const void *bytes, size_t length) {
  if (length > 0 && fwrite(bytes, length, 1, output->stream) != 1) fail(errno, "memory-keep: %s", output->beside);
  output->length += length;
}

// A hole: what belongs there is elsewhere.
static void output_skip(struct output *output, uint64_t length) {
  if (fseeko(output->stream, (off_t)length, SEEK_CUR) < 0) fail(errno, "memory-keep: %s", output->beside);
  output->length += length;
}

static void output_close(struct output *output) {
  if (fflush(output->stream) != 0 || ftruncate(fileno(output->stream), (off_t)output->length) < 0) fail(errno, "memory-keep: %s", output->beside);
  if (fclose(output->stream) != 0 || rename(output->beside, output->name) < 0) fail(errno, "memory-keep: %s", output->name);
}

static uint64_t read_varint(const unsigned char **at, const unsigned char *end) {
  uint64_t value = 0;
  for (int shift = 0; *at < end && shift < 64; shift += 7) {
    unsigned char byte = *(*at)++;
    value |= (uint64_t)(byte & 127) << shift;
    if (!(byte & 128)) return value;
  }
  fail(0, "memory-keep: a pagemap image ends early");
}

static size_t put_varint(unsigned char *out, uint64_t value) {
  size_t length = 0;
  for (; value >= 128; value >>= 7) out[length++] = (unsigned char)(value | 128);
  out[length++] = (unsigned char)value;
  return length;
}

// images/pagemap.proto. `nr_pages` twice: under its old number for a criu that knows no other.
static void put_entry(struct output *pagemap, uint64_t address, uint64_t pages) {
  unsigned char message[64];
  uint32_t length = 0;
  const uint64_t fields[][2] = {{1, address}, {2, pages}, {4, flag_present}, {5, pages}};
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    message[length++] = (unsigned char)(fields[i][0] << 3);
    length += (uint32_t)put_varint(message + length, fields[i][1]);
  }
  output_write(pagemap, &length, sizeof length);
  output_write(pagemap, message, length);
}

struct entry {
  uint64_t address, pages, flags;
  const unsigned char *message; // with its length before it
  size_t length;
};

// The next message of a pagemap image; 0 at its end.
static int next_entry(const unsigned char **at, const unsigned char *end, struct entry *entry) {
  uint32_t length;
  if (*at == end) return 0;
  if ((size_t)(end - *at) < sizeof length) fail(0, "memory-keep: a pagemap image ends early");
  memcpy(&length, *at, sizeof length);
  if (length > (size_t)(end - *at) - sizeof length) fail(0, "memory-keep: a pagemap image ends early");
  uint64_t fields[8] = {0};
  const unsigned char *inner = *at + sizeof length, *inner_end = inner + length;
  while (inner < inner_end) {
    uint64_t key = read_varint(&inner, inner_end);
    if ((key & 7) != 0) fail(0, "memory-keep: a pagemap entry of an unknown form");
    uint64_t value = read_varint(&inner, inner_end);
    if (key >> 3 < 8) fields[key >> 3] = value;
  }
  *entry = (struct entry){fields[1], fields[5] ? fields[5] : fields[2], fields[4], *at, sizeof length + length};
  *at = inner_end;
  return 1;
}

static int by_number(const void *a, const void *b) {
  const struct store_block *left = *(struct store_block *const *)a, *right = *(struct store_block *const *)b;
  return left->number < right->number ? -1 : left->number > right->number;
}

// COPY_BYTES or COPY_ELSEWHERE of a kept page that is not zero; 0 of every other.
static unsigned char kept_how(const struct store_block *block, unsigned index) {
  return block->state[index] & COPY_KEPT ? block->state[index] & (COPY_BYTES | COPY_ELSEWHERE) : 0;
}

// Kept pages from `*cursor` on that lie below `limit`, as entries and bytes. The cursor counts pages of the sorted blocks.
struct kept {
  struct store_block **blocks;
  uint64_t count, at;
};

// Done with its bytes: the images lie in memory too.
static void give_back(struct store_block *block) {
  store_empty(block);
}

static uint64_t put_kept_below(struct kept *kept, uint64_t limit, struct output *pagemap, struct output *pages, struct output *elsewhere) {
  uint64_t written = 0;
  while (kept->at < kept->count * STORE_BLOCK_PAGES) {
    struct store_block *block = kept->blocks[kept->at / STORE_BLOCK_PAGES];
    unsigned first = (unsigned)(kept->at % STORE_BLOCK_PAGES), count = 0;
    uint64_t address = (block->number * STORE_BLOCK_PAGES + first) * PAGE_BYTES;
    unsigned char how = kept_how(block, first);
    if (!how) {
      if (first == STORE_BLOCK_PAGES - 1) give_back(block);
      kept->at++;
      continue;
    }
    if (address >= limit) break;
    while (first + count < STORE_BLOCK_PAGES && address + count * PAGE_BYTES < limit && kept_how(block, first + count) == how) count++;
    put_entry(pagemap, address, count);
    if (how == COPY_ELSEWHERE) {
      const uint64_t range[2] = {pages->length / PAGE_BYTES, count};
      output_write(elsewhere, range, sizeof range);
      output_skip(pages, count * PAGE_BYTES);
    } else {
      output_write(pages, block->bytes + first * PAGE_BYTES, count * PAGE_BYTES);
    }
    written += count;
    kept->at += count;
    if (first + count == STORE_BLOCK_PAGES) give_back(block);
  }
  return written;
}

// criu names the images of shared memory by its inode (criu/memfd.c, criu/shmem.c), for anonymous memory and memfd alike.
static void name_of(uint32_t space, char *name, size_t length) {
  snprintf(name, length, "pagemap-%u.img", space);
  for (uint64_t i = 0; i < store.object_count; i++)
    if (store.objects[i].space == space) snprintf(name, length, "pagemap-shmem-%u.img", store.objects[i].inode);
}

static uint64_t merge_space(uint32_t space) {
  char name[64];
  name_of(space, name, sizeof name);
  struct file old_map = map_whole(name);
  if (old_map.length < 8) fail(0, "memory-keep: %s is empty", name);
  const unsigned char *at = old_map.bytes + 8, *end = old_map.bytes + old_map.length;
  struct output pagemap = {0}, pages = {0}, elsewhere = {0};
  struct entry entry;
  if (!next_entry(&at, end, &entry)) fail(0, "memory-keep: %s has no head", name);
  output_open(&pagemap, name);
  output_write(&pagemap, old_map.bytes, 8);
  output_write(&pagemap, entry.message, entry.length);
  snprintf(name, sizeof name, "pages-%" PRIu64 ".img", entry.address); // of the head, field 1 is the id
  struct file old_pages = map_whole(name);
  output_open(&pages, name);
  snprintf(name, sizeof name, "elsewhere-%" PRIu64, entry.address);
  output_open(&elsewhere, name);
  struct kept kept = {.blocks = calloc(store.count + 1, sizeof *kept.blocks)};
  if (!kept.blocks) fail(ENOMEM, "memory-keep");
  for (uint64_t i = 0; i < store.count; i++)
    if (store.all[i]->space == space) kept.blocks[kept.count++] = store.all[i];
  qsort(kept.blocks, kept.count, sizeof *kept.blocks, by_number);
  uint64_t written = 0, offset = 0;
  while (next_entry(&at, end, &entry)) {
    written += put_kept_below(&kept, entry.address, &pagemap, &pages, &elsewhere);
    if (entry.flags & flag_parent) fail(0, "memory-keep: pages of an earlier dump are named in %s", pagemap.name);
    output_write(&pagemap, entry.message, entry.length);
    if (!(entry.flags & flag_present)) continue;
    uint64_t length = entry.pages * PAGE_BYTES;
    if (entry.pages > old_pages.length / PAGE_BYTES || offset + length > old_pages.length) fail(0, "memory-keep: %s is too short", pages.name);
    output_write(&pages, old_pages.bytes + offset, length);
    offset += length;
    // What criu has, it has as the process had it: a kept page in it would be there twice.
    while (kept.at < kept.count * STORE_BLOCK_PAGES) {
      struct store_block *block = kept.blocks[kept.at / STORE_BLOCK_PAGES];
      uint64_t address = (block->number * STORE_BLOCK_PAGES + kept.at % STORE_BLOCK_PAGES) * PAGE_BYTES;
      if (address >= entry.address + length) break;
      if (kept_how(block, (unsigned)(kept.at % STORE_BLOCK_PAGES))) fail(0, "memory-keep: a page is in the dump and in the copies");
      kept.at++;
    }
  }
  if (offset != old_pages.length) fail(0, "memory-keep: %s holds pages that nothing names", pages.name);
  written += put_kept_below(&kept, UINT64_MAX, &pagemap, &pages, &elsewhere);
  output_close(&elsewhere);
  output_close(&pages);
  output_close(&pagemap);
  if (old_pages.length > 0) munmap((void *)old_pages.bytes, old_pages.length);
  munmap((void *)old_map.bytes, old_map.length);
  free(kept.blocks);
  return written;
}

int memory_keep_command(int argc, char **argv) {
  long long fd = -1;
  const char *reason;
  const struct option_spec specs[] = {
      {.name = "data-fd", .number = &fd, .min = 3, .max = 1023, .is_required = 1},
  };
  int rest = parse_options("memory-keep", argc, argv, specs, sizeof specs / sizeof *specs);
  if (rest < argc) usage_error("memory-keep: unexpected argument \"%s\"", argv[rest]);
  fcntl((int)fd, F_SETFD, FD_CLOEXEC);
  store_init(&store);
  say(STDOUT_FILENO, "{\"event\":\"ready\"}");
  struct wire wire;
  if (wire_accept(&wire, (int)fd, &reason) < 0) fail(0, "memory: %s", reason);
  for (;;) {
    sealed_count = 0;
    if (store_receive(&store, &wire, on_sealed, &reason) < 0) fail(0, "memory: %s", reason);
    say(STDOUT_FILENO, "{\"event\":\"sealed\",\"receivedPages\":%" PRIu64 ",\"keptPages\":%" PRIu64 "}", store.received_pages, store.kept_pages);
    char line[4200];
    if (!fgets(line, sizeof line, stdin)) return 0; // nobody wants it any more
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "merge ", 6) != 0) fail(0, "memory-keep: unknown command");
    if (chdir(line + 6) < 0) fail(errno, "memory-keep: merge %s", line + 6);
    uint64_t written = 0;
    for (int i = 0; i < sealed_count; i++) written += merge_space(sealed[i]);
    store_put_away(&store);
    if (chdir("/") < 0) fail(errno, "memory-keep"); // the images go, and what they lie on
    say(STDOUT_FILENO, "{\"event\":\"merged\",\"pages\":%" PRIu64 "}", written);
  }
}
