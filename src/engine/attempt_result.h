#pragma once
// Where the result of an attempt that did not succeed is kept, among the results of tasks: a success has the place of its
// task.

#include "base/ids.h"

namespace nexus::engine {

inline TaskId place_of_result(AttemptId attempt) {
    return {attempt.hi, attempt.lo};
}

}  // namespace nexus::engine
