// aether-bpf: what only programs in the kernel can do for the agent, in a child process of it. Commands in, one a line; one JSON object a line
// out. A crash of it harms no workload: rules end at their deadlines, programs go with their links. It ends when its input does.
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "../report.h"
#include "helper.h"

static const char help[] =
    "aether-bpf " VERSION ": the agent's programs in the kernel\n"
    "\n"
    "Reads commands \"ID VERB ARGUMENT...\" from standard input, one a line, and answers each with one line {\"id\":ID,...} or\n"
    "{\"id\":ID,\"error\":...,\"errno\":n}. First it says {\"event\":\"ready\",\"version\":...}. Ends when its input ends.\n"
    "\n"
    "  probe                                  what works on this kernel, by doing it\n"
    "  arm NAME CGROUP_DIR NAMESPACE_FILE     watches a workload from now on, counting from zero\n"
    "  facts NAME                             when it was stopped and ran (CLOCK_MONOTONIC, us), resets, retransmits, waits for a CPU\n"
    "  drop NAME                              watches it no more; with the last one the programs are detached\n"
    "  hold ADDRESS PORT DEVICE xdp_icmp|tc_drop DEADLINE_MS\n"
    "                                         drops what arrives at DEVICE for ADDRESS (PORT 0: every port) until DEADLINE_MS from now\n"
    "  held ADDRESS PORT                      what a rule has dropped and answered\n"
    "  release ADDRESS PORT                   ends the rule; says what it dropped and answered\n"
    "  sockets NAMESPACE_FILE                 TCP sockets of a network namespace, e.g. /proc/PID/ns/net\n"
    "  usage                                  this process: CPU time (us) and resident memory (bytes)\n"
    "\n"
    "What is not known is null. Standard input as a terminal is refused: it is meant for a program.\n";

static char words_of_libbpf[512];

static int keep_words(enum libbpf_print_level level, const char *format, va_list arguments) {
  if (level != LIBBPF_WARN) return 0;
  vsnprintf(words_of_libbpf, sizeof words_of_libbpf, format, arguments);
  return 0;
}

const char *last_words(void) {
  words_of_libbpf[strcspn(words_of_libbpf, "\n")] = '\0';
  return words_of_libbpf;
}

long long now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

void reply(const struct command *command, const char *format, ...) {
  char text[4096];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  say(STDOUT_FILENO, "{\"id\":%lld,%s}", command->id, text);
}

void refuse(const struct command *command, int error, const char *format, ...) {
  char text[1024], escaped[2100];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  size_t size = json_escape(text, strlen(text), escaped, sizeof escaped);
  say(STDOUT_FILENO, "{\"id\":%lld,\"error\":\"%.*s: %s\",\"errno\":%d}", command->id, (int)size, escaped, strerror(error), error);
}

extern const char observe_object[], observe_object_end[], hold_object[], hold_object_end[];

struct bpf_object *open_object(const char *name) {
  const char *from = strcmp(name, "observe") == 0 ? observe_object : hold_object;
  const char *to = strcmp(name, "observe") == 0 ? observe_object_end : hold_object_end;
  LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = name);
  return bpf_object__open_mem(from, (size_t)(to - from), &options);
}

static void probe(const struct command *command) {
  char observe[256], hold[256];
  observe_probe(observe, sizeof observe);
  hold_probe(hold, sizeof hold);
  malloc_trim(0); // the kernel's type information was read for the loading: 10 MB
  reply(command, "\"observe\":%s,\"hold\":%s", observe, hold);
}

static void usage(const struct command *command) {
  struct rusage used;
  long long pages = 0, resident = 0;
  getrusage(RUSAGE_SELF, &used);
  FILE *file = fopen("/proc/self/statm", "re");
  if (file) {
    if (fscanf(file, "%lld %lld", &pages, &resident) != 2) resident = 0;
    fclose(file);
  }
  long long cpu_us = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000LL + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
  reply(command, "\"cpuUs\":%lld,\"residentBytes\":%lld", cpu_us, resident * sysconf(_SC_PAGESIZE));
}

static const struct {
  const char *verb;
  int argc;
  void (*run)(const struct command *);
} verbs[] = {
    {"probe", 0, probe},          {"arm", 3, observe_arm},     {"facts", 1, observe_facts},     {"drop", 1, observe_drop},
    {"hold", 5, hold_add},        {"held", 2, hold_facts},     {"release", 2, hold_remove},     {"sockets", 1, sockets_read},
    {"usage", 0, usage},
};

static void obey(char *line) {
  char *words[16];
  int count = 0;
  for (char *word = strtok(line, " "); word && count < 16; word = strtok(NULL, " ")) words[count++] = word;
  struct command command = {.id = count > 0 ? atoll(words[0]) : 0, .argc = count - 2, .argv = words + 2};
  for (size_t i = 0; count > 1 && i < sizeof verbs / sizeof *verbs; i++) {
    if (strcmp(words[1], verbs[i].verb) != 0) continue;
    if (command.argc != verbs[i].argc) return refuse(&command, EINVAL, "%s takes %d arguments", words[1], verbs[i].argc);
    words_of_libbpf[0] = '\0';
    return verbs[i].run(&command);
  }
  refuse(&command, EINVAL, "unknown command; see --help");
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--version") == 0) return printf("aether-bpf %s\n", VERSION) < 0;
  if (argc != 1 || isatty(STDIN_FILENO)) {
    fputs(help, argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
    return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
  }
  signal(SIGPIPE, SIG_IGN);
  libbpf_set_print(keep_words);
  say(STDOUT_FILENO, "{\"event\":\"ready\",\"version\":\"%s\",\"libbpf\":\"%s\"}", VERSION, libbpf_version_string());
  static char pending[8192];
  size_t length = 0;
  for (;;) {
    ssize_t got = read(STDIN_FILENO, pending + length, sizeof pending - 1 - length);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    length += (size_t)got;
    pending[length] = '\0';
    char *line = pending, *end;
    while ((end = strchr(line, '\n'))) {
      *end = '\0';
      obey(line);
      line = end + 1;
    }
    length -= (size_t)(line - pending);
    memmove(pending, line, length);
    if (length == sizeof pending - 1) length = 0; // no command is as long as this
  }
  hold_end();
  return 0;
}
