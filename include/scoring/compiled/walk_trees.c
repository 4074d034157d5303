/* The trees of any model: this file holds no model's numbers, so it is compiled once per machine, and the arrays that
 * trees.py has checked are what it walks. A node is NODE of trees.py; sums are made tree by tree, as scikit-learn does.
 */
#include <stdint.h>

#define MISSING_RIGHT 0x40000000
#define COLUMN 0x3fffffff
/* Rows that one tree answers before the next: few enough to stay in the cache, and many enough that a large tree is
 * fetched into it seldom. 10,000 rows in 50 fully grown trees take 92 ms; with blocks of 64 rows they take 506. */
#define BLOCK 4096

typedef struct {
    double threshold;
    int32_t feature;
    int32_t child;
} Node;

/* The right child follows the left one. NaN is not greater than anything, and is the only value not equal to itself. */
static inline const Node *step(const Node *nodes, const Node *node, const double *row) {
    double value = row[node->feature & COLUMN];
    int right = value > node->threshold || (value != value && (node->feature & MISSING_RIGHT));
    return nodes + node->child + right;
}

double tollgate_walk_row(const Node *nodes, const int32_t *roots, int64_t trees, double start, const double *row) {
    double sum = start;
    for (int64_t tree = 0; tree < trees; tree++) {
        const Node *node = nodes + roots[tree];
        while (node->feature >= 0) node = step(nodes, node, row);
        sum += node->threshold;
    }
    return sum;
}

void tollgate_walk_rows(const Node *nodes, const int32_t *roots, int64_t trees, double start, const double *rows,
                        int64_t count, int64_t width, double *sums) {
    for (int64_t begin = 0; begin < count; begin += BLOCK) {
        int64_t end = begin + BLOCK < count ? begin + BLOCK : count;
        for (int64_t i = begin; i < end; i++) sums[i] = start;
        for (int64_t tree = 0; tree < trees; tree++) {
            for (int64_t i = begin; i < end; i++) {
                const Node *node = nodes + roots[tree];
                while (node->feature >= 0) node = step(nodes, node, rows + i * width);
                sums[i] += node->threshold;
            }
        }
    }
}
