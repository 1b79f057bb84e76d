// Named places where a test may make memory fail; see AETHER_FAULTS in packages/kit/src/faultpoint.ts. Off unless armed.
#ifndef AETHER_FAULTS_H
#define AETHER_FAULTS_H

// Is NAME=error armed?
int fault_is_armed(const char *name);

// N of NAME=delay:N, in ms; 0 where it is not armed.
long fault_delay_ms(const char *name);

#endif
