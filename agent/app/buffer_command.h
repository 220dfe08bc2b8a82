// basmalin-agent buffer check|repair|export FILE: a buffer's file in the hands of a person, with the agent stopped.
// Exit codes: 0 sound (or repaired, exported), 1 damaged (check) or failed, 2 the words are off.
#pragma once

#include <string>

namespace basmalin::agent {

int check_buffer(const std::string& file);
int repair_buffer(const std::string& file);
// Every reading held, on standard output: "csv" or "ndjson". A batch that cannot be read is told on standard error and left out.
int export_buffer(const std::string& file, const std::string& format);

}  // namespace basmalin::agent
