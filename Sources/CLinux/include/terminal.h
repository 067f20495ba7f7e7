/* Terminals. */
#ifndef BATON_CLINUX_TERMINAL_H
#define BATON_CLINUX_TERMINAL_H

/* 1 if the descriptor is a terminal, else 0. */
int clinux_is_terminal(int fd);
/* Columns of the terminal, 0 if it does not tell, -errno if it is none. */
int clinux_terminal_columns(int fd);

#endif
