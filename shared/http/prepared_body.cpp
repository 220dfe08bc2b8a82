#include "shared/http/prepared_body.h"

#include "shared/http/gzip.h"
#include "shared/http/message.h"

namespace basmalin {

const std::string& PreparedBody::etag() const {
    std::call_once(tagged_, [this] { etag_ = http_message::etag_of(bytes_); });
    return etag_;
}

const std::string& PreparedBody::gzipped() const {
    std::call_once(packed_, [this] { gzipped_ = gzip(bytes_); });
    return gzipped_;
}

}  // namespace basmalin
