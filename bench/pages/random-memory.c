// random-memory MIB: holds so much private memory that nothing compresses, says "ready", and sleeps.
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

int main(int argc, char **argv) {
  size_t bytes = (argc > 1 ? strtoul(argv[1], NULL, 10) : 0) << 20;
  char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (bytes == 0 || memory == MAP_FAILED) return 1;
  for (size_t at = 0; at < bytes;) {
    ssize_t got = getrandom(memory + at, bytes - at, 0);
    if (got < 0) return 1;
    at += (size_t)got;
  }
  puts("ready");
  fflush(stdout);
  for (;;) pause();
}
