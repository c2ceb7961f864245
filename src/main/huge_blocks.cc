// The program's operator new: blocks of megabytes lie on huge pages, where the system offers them (madvise or always in
// /sys/kernel/mm/transparent_hugepage/enabled). A table of a million tasks is then touched for the first time in
// hundreds of page faults instead of tens of thousands, and a look-up in it seldom misses the processor's table of
// addresses. Small blocks are malloc's as ever: what is idle takes no more than before.

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they have their own

#include <sys/mman.h>

#include <cstdlib>
#include <new>

namespace {
constexpr std::size_t kHugePage = 2U << 20;
constexpr std::size_t kHugeFrom = 2 * kHugePage;  // a block ends within a page, so at most a third is touched in vain

void* allocate(std::size_t bytes) {
    if (bytes < kHugeFrom) return std::malloc(bytes == 0 ? 1 : bytes);
    // Released by free() like any other.
    void* const block = std::aligned_alloc(kHugePage, (bytes + kHugePage - 1) / kHugePage * kHugePage);
    if (block != nullptr) (void)madvise(block, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);  // refused: small pages
    return block;
}
}  // namespace

void* operator new(std::size_t bytes) {
    for (;;) {
        if (void* const block = allocate(bytes)) return block;
        const std::new_handler handler = std::get_new_handler();
        if (handler == nullptr) throw std::bad_alloc();
        handler();
    }
}
void operator delete(void* block) noexcept {
    std::free(block);
}
void operator delete(void* block, std::size_t) noexcept {
    std::free(block);
}

#endif
