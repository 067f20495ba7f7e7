/* The model's questions about this process's memory and descriptors. */
#ifndef SEVMODEL_QUESTIONS_H
#define SEVMODEL_QUESTIONS_H

struct connection;

/* Answers the question in the connection's record. 0 or -errno. */
int questions_answer(struct connection *connection);

#endif
