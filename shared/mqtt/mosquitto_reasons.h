// What the numbers of MQTT 5 and libmosquitto mean to an operator.
#pragma once

#include <string>

#include "shared/base/result.h"

namespace basmalin {

// A CONNACK's reason (>= 0x80).
Error refused_error(int reason, const std::string& client_id);
// What ended a connection: a reason of the broker's DISCONNECT (>= 0x80) or an error of libmosquitto, with errno beside it.
// `tls_text` is what TLS said, if anything; `online`: the broker had accepted us.
Error ended_error(int code, int os_error, const std::string& tls_text, bool online, const std::string& client_id);

}  // namespace basmalin
