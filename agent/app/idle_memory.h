// What the start needed and the work does not: parsers of settings, tables of ciphers, symbols' names. On a gateway with little memory
// they need not stay resident.
#pragma once

namespace basmalin::agent {

// Returns free heap to the kernel and unmaps, as far as nothing uses them, the pages of program and libraries that are never written
// (they are read from their files again when touched). Changes nothing but resident memory. Takes about a millisecond. Thread: any.
void give_back_memory();

}  // namespace basmalin::agent
