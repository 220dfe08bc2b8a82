// basmalin-agent buffer check|repair|export FILE: a buffer's file in the hands of a person, with the agent stopped.
// check and export only read the file. Exit codes: 0 sound (or repaired, exported whole), 1 damaged, failed or exported in part,
// 2 the words are off.
#pragma once

#include <string>

namespace basmalin::agent {

// Its pages, then every batch's checksum; which batches are damaged is told on standard error.
int check_buffer(const std::string& file);
int repair_buffer(const std::string& file);
// Every reading held, on standard output: "csv" or "ndjson". A batch that cannot be read is told on standard error and
// left out, and so is how many they were.
int export_buffer(const std::string& file, const std::string& format);

}  // namespace basmalin::agent
