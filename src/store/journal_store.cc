#include "store/journal_store.h"

namespace nexus::store {

const char* name_of(Durability level) {
    switch (level) {
        case Durability::process: return "process";
        case Durability::disk: return "disk";
        case Durability::replicated: return "replicated";
    }
    return "unknown";
}

}  // namespace nexus::store
