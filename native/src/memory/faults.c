#include "faults.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What follows NAME= in AETHER_FAULTS="name=action,name=action"; NULL where it is not there.
static const char *action_of(const char *name) {
  size_t length = strlen(name);
  for (const char *at = getenv("AETHER_FAULTS"); at && *at; at = strchr(at, ','), at = at ? at + 1 : NULL)
    if (strncmp(at, name, length) == 0 && at[length] == '=') return at + length + 1;
  return NULL;
}

int fault_is_armed(const char *name) {
  const char *action = action_of(name);
  return action && strncmp(action, "error", 5) == 0;
}

long fault_delay_ms(const char *name) {
  const char *action = action_of(name);
  return action && strncmp(action, "delay:", 6) == 0 ? strtol(action + 6, NULL, 10) : 0;
}
