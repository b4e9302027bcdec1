/* A template's syntax tree, in the template's arena; constant once compiled. Children by kind: */
#ifndef HONE_TEMPLATE_NODE_H
#define HONE_TEMPLATE_NODE_H

#include "trainer/template/value.h"

typedef enum NodeKind {
    /* statements */
    NODE_TEXT,         /* constant */
    NODE_PRINT,        /* a */
    NODE_IF,           /* list: NODE_BRANCH a (NULL: else), body */
    NODE_BRANCH,
    NODE_FOR,          /* a target, b iterated, c test, body, otherwise */
    NODE_SET,          /* a target, b value */
    NODE_SET_BLOCK,    /* a target, body, b filters upon NODE_CAPTURED (NULL: none) */
    NODE_MACRO,        /* name, list: NODE_PARAMETER name, a default; body */
    NODE_PARAMETER,
    NODE_CALL_BLOCK,   /* a call, list: parameters; body */
    NODE_FILTER_BLOCK, /* b filters upon NODE_CAPTURED, body */
    NODE_WITH,         /* list: NODE_PAIR a target, b value; body */
    NODE_GENERATION,   /* body */
    NODE_BREAK,
    NODE_CONTINUE,
    /* expressions */
    NODE_CONSTANT,
    NODE_CAPTURED,     /* what a block has written */
    NODE_NAME,
    NODE_MEMBER,       /* the target namespace.attribute: name, constant the attribute */
    NODE_TUPLE,        /* list */
    NODE_LIST,         /* list */
    NODE_DICT,         /* list: NODE_PAIR a key, b value */
    NODE_PAIR,
    NODE_ATTRIBUTE,    /* a, constant the name */
    NODE_ITEM,         /* a, b */
    NODE_SLICE,        /* a; b, c, d: start, stop, step or NULL */
    NODE_CALL,         /* a, list: arguments, then NODE_KEYWORD constant the name, a */
    NODE_KEYWORD,
    NODE_FILTER,       /* a, builtin, list */
    NODE_TEST,         /* a, builtin, list */
    NODE_NOT,          /* a */
    NODE_MINUS,        /* a */
    NODE_PLUS,         /* a */
    NODE_AND,          /* a, b */
    NODE_OR,           /* a, b */
    NODE_BINARY,       /* op, a, b */
    NODE_CONCAT,       /* list */
    NODE_COMPARE,      /* a, list: NODE_OPERAND op, a */
    NODE_OPERAND,
    NODE_CHOICE,       /* a if b else c (NULL: undefined) */
} NodeKind;

typedef enum Operator {
    OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_FLOORDIV, OP_MOD, OP_POW,
    OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE, OP_IN, OP_NOT_IN,
} Operator;

typedef struct Node Node;
struct Node {
    NodeKind kind;
    uint32_t line;
    bool uses_caller; /* NODE_MACRO, NODE_CALL_BLOCK: the body reads `caller`, so it may be given one */
    Operator op;
    int name; /* NODE_NAME, NODE_MEMBER, NODE_MACRO, NODE_PARAMETER: place in the template's names */
    const Node *a, *b, *c, *d;
    const Node *list, *body, *otherwise; /* chained by next */
    Node *next;
    Value constant;
    const Builtin *builtin;
};

#endif
