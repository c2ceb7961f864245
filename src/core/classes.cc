// Classes of indistinguishable tasks, and groups of classes with equal demands on a worker.

#include <algorithm>
#include <utility>

#include "base/hash.h"
#include "core/fixed_ln.h"
#include "core/shape.h"
#include "core/state.h"

namespace nexus::core {

namespace {
constexpr std::size_t kIdleClassesMax = 1024;
constexpr std::size_t kStuckLook = 32;  // stuck classes that are looked at one by one

const std::string* label(const Labels& labels, const std::string& name) {
    const auto found = std::lower_bound(labels.begin(), labels.end(), name,
                                        [](const NameValue& pair, const std::string& key) { return pair.first < key; });
    return found != labels.end() && found->first == name ? &found->second : nullptr;
}

bool offer_covers(std::int64_t need, std::int64_t offer) {
    return offer < 0 || need <= offer;
}
}  // namespace

std::uint64_t Scheduler::State::class_hash(const TaskSpec& spec, bool alone, const Refused& refused) {
    std::uint64_t hash = hash_part<kClass>(alone ? 1 : 0, spec);
    for (const SessionId session : refused) hash = mix(hash, session.n);
    return hash;
}

Index Scheduler::State::class_of(const TaskSpec& spec, bool alone, const Refused& refused) {
    const std::uint64_t hash = class_hash(spec, alone, refused);
    const Index found = class_table.find(hash, [&](Index i) {
        return classes[i].hash == hash && classes[i].alone == alone && classes[i].refused == refused &&
               same_part<kClass>(classes[i].spec, spec);
    });
    if (found != kNone) return found;
    if (free_classes.empty()) {
        free_classes.push_back(static_cast<Index>(classes.size()));
        classes.emplace_back();
    }
    const Index cls = free_classes.back();
    free_classes.pop_back();
    Class& c = classes[cls];
    c = {};
    c.spec = part_of<kClass>(spec);
    c.alone = alone;
    c.refused = refused;
    c.hash = hash;
    class_table.insert(hash, cls);
    c.type = type_named(spec.type);
    bool made = false;
    c.tenant = tenants.obtain(spec.tenant, made);
    if (made) limit_tenant(tenants[c.tenant]);
    c.queue = queues.obtain(spec.queue, made);
    if (made) limit_queue(queues[c.queue]);
    types.retain(c.type);
    tenants.retain(c.tenant);
    queues.retain(c.queue);
    join_group(cls);
    return cls;
}

Index Scheduler::State::type_named(const std::string& name) {
    bool made = false;
    const Index type = types.obtain(name, made);
    if (!made) return type;
    types[type].signature = signature_of(types[type]);
    limit_type(types[type]);
    return type;
}

void Scheduler::State::retain_class(Index cls) {
    ++classes[cls].references;
    classes[cls].idle_stamp = 0;
}

void Scheduler::State::release_class(Index cls) {
    MUST(classes[cls].references > 0);
    if (--classes[cls].references > 0) return;
    classes[cls].idle_stamp = ++class_stamp;
    idle_classes.push_back(cls);
    while (idle_classes.size() > kIdleClassesMax) {
        const Index oldest = idle_classes.front();
        const std::uint64_t stamp = class_stamp - idle_classes.size() + 1;
        idle_classes.pop_front();
        if (classes[oldest].idle_stamp == stamp) drop_class(oldest);
    }
}

void Scheduler::State::drop_class(Index cls) {
    Class& c = classes[cls];
    quit_group(cls);
    update_stuck(cls);
    for (Limit* limit : {&types[c.type].limit, &tenants[c.tenant].limit, &queues[c.queue].limit})
        std::erase(limit->parked, cls);
    types.release(c.type);
    tenants.release(c.tenant);
    queues.release(c.queue);
    class_table.erase(c.hash, cls);
    c = {};
    c.vacant = true;
    free_classes.push_back(cls);
}

// Moves a task that is in no queue to another class.
void Scheduler::State::move_class(Index task, Index cls) {
    MUST(tasks[task].place != Place::ready);
    retain_class(cls);
    release_class(tasks[task].cls);
    tasks[task].cls = cls;
}

Index Scheduler::State::group_of(const Class& cls) {
    const Index signature = types[cls.type].signature;
    const TaskSpec& spec = cls.spec;
    for (Index g = 0; g < groups.size(); ++g) {
        const Group& group = groups[g];
        if (!group.vacant && group.signature == signature && group.alone == cls.alone && group.refused == cls.refused &&
            group.pinned == spec.pinned_worker && group.resources == spec.resources &&
            group.required == spec.labels_required && group.forbidden == spec.labels_forbidden)
            return g;
    }
    if (free_groups.empty()) {
        free_groups.push_back(static_cast<Index>(groups.size()));
        groups.emplace_back();
    }
    const Index made = free_groups.back();
    free_groups.pop_back();
    Group& group = groups[made];
    group = {.required = spec.labels_required,
             .forbidden = spec.labels_forbidden,
             .pinned = spec.pinned_worker,
             .resources = spec.resources,
             .alone = cls.alone,
             .refused = cls.refused,
             .signature = signature};
    group.needs_resources = !(group.resources == Resources{});
    group.eligible.resize(ready.size());
    for (Index w = 0; w < workers.size(); ++w) {
        if (!matches(group, workers[w])) continue;
        group.eligible[w / 64] |= 1ULL << (w % 64);
        if (workers[w].connected) ++group.reach;
    }
    return made;
}

void Scheduler::State::join_group(Index cls) {
    classes[cls].group = group_of(classes[cls]);
    ++groups[classes[cls].group].classes;
    groups[classes[cls].group].waiting += classes[cls].waiting;
    update_head(cls);
}

void Scheduler::State::quit_group(Index cls) {
    const Index g = classes[cls].group;
    const std::uint32_t waiting = std::exchange(classes[cls].waiting, 0);
    update_head(cls);
    classes[cls].waiting = waiting;
    groups[g].waiting -= waiting;
    classes[cls].group = kNone;
    if (--groups[g].classes > 0) return;
    groups[g] = {};
    groups[g].vacant = true;
    free_groups.push_back(g);
}

// Which of the known worker offers list the type, and which workers an override keeps away from it.
Index Scheduler::State::signature_of(const TypeRecord& type) {
    Signature signature;
    for (Index i = 1; i < typesets.size(); ++i)
        if (std::binary_search(typesets[i].begin(), typesets[i].end(), type.name)) signature.typesets.push_back(i);
    signature.excluded = type.excluded;
    const auto found = std::find(signatures.begin(), signatures.end(), signature);
    if (found != signatures.end()) return static_cast<Index>(found - signatures.begin());
    signatures.push_back(std::move(signature));
    return static_cast<Index>(signatures.size() - 1);
}

void Scheduler::State::renew_signatures() {
    for (TypeRecord& type : types.records())
        if (!type.vacant) type.signature = signature_of(type);
    for (Index cls = 0; cls < classes.size(); ++cls) {
        if (classes[cls].vacant || groups[classes[cls].group].signature == types[classes[cls].type].signature) continue;
        quit_group(cls);
        join_group(cls);
        update_stuck(cls);
    }
}

bool Scheduler::State::matches(const Group& group, const Worker& worker) const {
    return offer_covers(group.resources.memory_bytes, worker.offered.memory_bytes) && matches_otherwise(group, worker);
}

std::int64_t Scheduler::State::most_memory(const Group& group) const {
    std::int64_t most = 0;
    for (const Worker& worker : workers) {
        if (!worker.connected || !matches_otherwise(group, worker)) continue;
        if (worker.offered.memory_bytes < 0) return INT64_MAX;
        most = std::max(most, worker.offered.memory_bytes);
    }
    return most;
}

bool Scheduler::State::matches_otherwise(const Group& group, const Worker& worker) const {
    if (worker.name.empty()) return false;
    if (std::binary_search(group.refused.begin(), group.refused.end(), worker.session)) return false;
    if (!group.pinned.empty() && group.pinned != worker.name) return false;
    const Signature& signature = signatures[group.signature];
    const bool typed =
        worker.typeset == 0 || std::binary_search(signature.typesets.begin(), signature.typesets.end(), worker.typeset);
    if (!typed) return false;
    const Index number = static_cast<Index>(&worker - workers.data());
    if (std::binary_search(signature.excluded.begin(), signature.excluded.end(), number)) return false;
    for (const auto& [name, value] : group.required) {
        const std::string* has = label(worker.labels, name);
        if (has == nullptr || *has != value) return false;
    }
    for (const auto& [name, value] : group.forbidden) {
        const std::string* has = label(worker.labels, name);
        if (has != nullptr && *has == value) return false;
    }
    const Resources& need = group.resources;
    if (!offer_covers(need.cpu_milli, worker.offered.cpu_milli)) return false;
    if (!offer_covers(need.gpu_milli, worker.offered.gpu_milli)) return false;
    for (const auto& [name, amount] : need.custom) {
        const auto offer = std::find_if(worker.offered.custom.begin(), worker.offered.custom.end(),
                                        [&](const auto& pair) { return pair.first == name; });
        if (offer == worker.offered.custom.end() || !offer_covers(amount, offer->second)) return false;
    }
    return true;
}

void Scheduler::State::renew_eligibility(Index worker) {
    const std::uint64_t bit = 1ULL << (worker % 64);
    if (workers[worker].connected) count_reach(worker, -1);
    for (Group& group : groups) {
        if (group.vacant) continue;
        if (matches(group, workers[worker])) {
            group.eligible[worker / 64] |= bit;
        } else {
            group.eligible[worker / 64] &= ~bit;
        }
    }
    if (workers[worker].connected) count_reach(worker, 1);
    update_all_stuck();
}

void Scheduler::State::count_reach(Index worker, int sign) {
    for (Group& group : groups)
        if (!group.vacant && eligible(group, worker)) group.reach += static_cast<std::uint32_t>(sign);
}

// What waits in it stands in nobody's way: no worker is there for it, its queue is paused, or a limit is used up.
bool Scheduler::State::is_stuck(const Class& cls) const {
    return cls.waiting > 0 && (cls.blocked || queues[cls.queue].paused || groups[cls.group].reach == 0);
}

void Scheduler::State::update_stuck(Index cls) {
    Class& c = classes[cls];
    const bool now_stuck = c.group != kNone && is_stuck(c);
    if (now_stuck == (c.stuck_at != kNone)) return;
    if (now_stuck) {
        c.stuck_at = static_cast<Index>(stuck_classes.size());
        stuck_classes.push_back(cls);
        stuck_work.add({.work_us = c.work_us, .tasks = c.waiting});
        return;
    }
    stuck_work.add({.work_us = -c.work_us, .tasks = -std::int64_t{c.waiting}});
    classes[stuck_classes.back()].stuck_at = c.stuck_at;
    stuck_classes[c.stuck_at] = stuck_classes.back();
    stuck_classes.pop_back();
    c.stuck_at = kNone;
}

void Scheduler::State::update_all_stuck() {
    for (Index cls = 0; cls < classes.size(); ++cls)
        if (!classes[cls].vacant) update_stuck(cls);
}

// The others left: what only they had not given back is for everybody again.
void Scheduler::State::forget_refusals() {
    const bool was_deferred = std::exchange(deferred, true);
    for (Index cls = 0; cls < classes.size(); ++cls) {
        const Class& c = classes[cls];
        if (c.vacant || c.refused.empty() || c.waiting == 0 || groups[c.group].reach > 0) continue;
        std::vector<Index> waiting;
        for (const HeapEntry& entry : c.heap.entries())
            if (current(entry)) waiting.push_back(entry.task);
        for (const Index task : waiting) {
            leave_place(task);
            place_or_enqueue(task);
        }
    }
    deferred = was_deferred;
}

// Whoever may run it gave it back, and nobody else is there: all are asked again.
void Scheduler::State::drop_refusals(Index task) {
    const Class& cls = classes[tasks[task].cls];
    if (cls.refused.empty() || groups[cls.group].reach > 0) return;
    const TaskSpec spec = cls.spec;
    move_class(task, class_of(spec, cls.alone, {}));
}

void Scheduler::State::count_ready(Index task, int sign) {
    const Task& t = tasks[task];
    Class& c = classes[t.cls];
    const WorkAhead::Sum one{.work_us = sign * t.mean.us, .tasks = sign};
    if (c.waiting == 0 && sign > 0) c.key_last = t.key;
    c.key_last = std::max(c.key_last, t.key);
    c.waiting += static_cast<std::uint32_t>(sign);
    groups[c.group].waiting += static_cast<std::uint32_t>(sign);
    c.work_us += one.work_us;
    ready_work_us += one.work_us;
    if (c.stuck_at != kNone) stuck_work.add(one);
    for (Limit* limit : {&queues[c.queue].limit, &tenants[c.tenant].limit, &types[c.type].limit})
        limit->waiting.add(one);
    if (sign > 0) {
        ahead.add(t.key, t.mean.us);
    } else {
        ahead.remove(t.key, t.mean.us);
    }
    update_stuck(t.cls);
}

// What waits with smaller keys and can start. Of a class that is stuck nobody knows the sums by key: its work is taken
// to lie even between its first key and its last.
WorkAhead::Sum Scheduler::State::startable_before(std::int64_t key) const {
    WorkAhead::Sum sum = ahead.before(key);
    if (stuck_classes.empty()) return sum;
    const WorkAhead::Sum total = ahead.total();
    if (stuck_classes.size() > kStuckLook) {
        const std::int64_t all = std::max<std::int64_t>(total.tasks, 1);
        sum.work_us -= scale(stuck_work.work_us, sum.tasks, all);
        sum.tasks -= scale(stuck_work.tasks, sum.tasks, all);
    } else {
        for (const Index cls : stuck_classes) {
            const Class& c = classes[cls];
            const std::int64_t first = c.heap.top().key, width = std::max<std::int64_t>(c.key_last - first, 1);
            const std::int64_t before = std::clamp<std::int64_t>(key - first, 0, width);
            sum.work_us -= scale(c.work_us, before, width);
            sum.tasks -= scale(c.waiting, before, width);
        }
    }
    sum.work_us =
        std::clamp<std::int64_t>(sum.work_us, 0, std::max<std::int64_t>(total.work_us - stuck_work.work_us, 0));
    sum.tasks = std::clamp<std::int64_t>(sum.tasks, 0, std::max<std::int64_t>(total.tasks - stuck_work.tasks, 0));
    return sum;
}

// Brings the class's entry among its group's heads up to date: present if and only if it is unblocked and has work.
void Scheduler::State::update_head(Index cls) {
    Class& c = classes[cls];
    Group& group = groups[c.group];
    const bool wanted = c.waiting > 0 && !c.blocked;
    if (!wanted) {
        if (c.head_at == kNone) return;
        const std::size_t hole = c.head_at;
        c.head_at = kNone;
        const Head last = group.heads.back();
        group.heads.pop_back();
        if (hole < group.heads.size()) {
            group.heads[hole] = last;
            classes[last.cls].head_at = static_cast<Index>(hole);
            head_rise(group, hole);
            head_sink(group, classes[last.cls].head_at);
        }
        if (group.heads.empty()) {
            active_groups[group.active_at] = active_groups.back();
            groups[active_groups.back()].active_at = group.active_at;
            active_groups.pop_back();
            group.active_at = kNone;
        }
        return;
    }
    const HeapEntry& top = c.heap.top();
    if (c.head_at == kNone) {
        c.head_at = static_cast<Index>(group.heads.size());
        group.heads.push_back({});
        if (group.active_at == kNone) {
            group.active_at = static_cast<Index>(active_groups.size());
            active_groups.push_back(c.group);
        }
    }
    group.heads[c.head_at] = {.key = top.key, .ticket = top.ticket, .cls = cls};
    head_rise(group, c.head_at);
    head_sink(group, c.head_at);
}

void Scheduler::State::head_rise(Group& group, std::size_t at) {
    const Head head = group.heads[at];
    for (; at > 0; at = (at - 1) / 2) {
        const Head& parent = group.heads[(at - 1) / 2];
        if (!(head < parent)) break;
        group.heads[at] = parent;
        classes[parent.cls].head_at = static_cast<Index>(at);
    }
    group.heads[at] = head;
    classes[head.cls].head_at = static_cast<Index>(at);
}

void Scheduler::State::head_sink(Group& group, std::size_t at) {
    const Head head = group.heads[at];
    for (;;) {
        std::size_t child = at * 2 + 1;
        if (child >= group.heads.size()) break;
        if (child + 1 < group.heads.size() && group.heads[child + 1] < group.heads[child]) ++child;
        if (!(group.heads[child] < head)) break;
        group.heads[at] = group.heads[child];
        classes[group.heads[at].cls].head_at = static_cast<Index>(at);
        at = child;
    }
    group.heads[at] = head;
    classes[head.cls].head_at = static_cast<Index>(at);
}

void Scheduler::State::push_ready(Index task) {
    Task& t = tasks[task];
    put_in(t, Place::ready);
    t.ticket = new_ticket();
    Class& c = classes[t.cls];
    c.heap.push({.key = t.key, .ticket = t.ticket, .task = task});
    count_ready(task, 1);
    if (c.heap.top().task == task) update_head(t.cls);
}

void Scheduler::State::pop_ready(Index task) {
    Task& t = tasks[task];
    MUST(t.place == Place::ready);
    t.ticket = new_ticket();
    put_in(t, Place::nowhere);
    Class& c = classes[t.cls];
    count_ready(task, -1);
    const bool was_head = c.heap.top().task == task;
    if (was_head) c.heap.pop();
    clean(c);
    if (was_head || c.waiting == 0) update_head(t.cls);
}

void Scheduler::State::clean(Class& cls) {
    while (!cls.heap.empty() && cls.heap.size() > cls.waiting && !current(cls.heap.top())) cls.heap.pop();
    if (!cls.heap.empty()) prefetch_task(cls.heap.top().task);  // the next to leave this class
    if (cls.heap.size() > 2 * static_cast<std::size_t>(cls.waiting) + 64)
        cls.heap.compact([this](const HeapEntry& entry) { return current(entry); });
}

}  // namespace nexus::core
