// The compiled programs, inside ours: nothing to find at run time.
  .section .rodata
  .macro object name, file
  .balign 8
  .global \name\()_object, \name\()_object_end
\name\()_object:
  .incbin "\file"
\name\()_object_end:
  .endm
  object observe, "observe.bpf.o"
  object hold, "hold.bpf.o"
  .section .note.GNU-stack, "", %progbits
