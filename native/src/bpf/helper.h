// One command a function. Each answers its line with one reply, or refuses it; nothing here may end the program but main.
#ifndef AETHER_BPF_HELPER_H
#define AETHER_BPF_HELPER_H

#include <stddef.h>

struct bpf_object;

// The number that a command came with, and its words.
struct command {
  long long id;
  int argc;
  char **argv;
};

// {"id":…,…} from `format`, which gives the inside after the id: "\"a\":1".
void reply(const struct command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
// {"id":…,"error":…,"errno":…}
void refuse(const struct command *command, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

// Opens one of the objects inside this program; NULL with errno.
struct bpf_object *open_object(const char *name);
// The last thing that libbpf said; empty when it said nothing.
const char *last_words(void);
long long now_us(void);

void observe_probe(char *out, size_t size);
void observe_arm(const struct command *command);
void observe_facts(const struct command *command);
void observe_drop(const struct command *command);

void hold_probe(char *out, size_t size);
void hold_add(const struct command *command);
void hold_facts(const struct command *command);
void hold_remove(const struct command *command);
void hold_end(void);

void sockets_read(const struct command *command);

#endif
