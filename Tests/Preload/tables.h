/* The groups of cases that `conformance GROUP` runs. */
#ifndef TABLES_H
#define TABLES_H

/* For the profile mainline-6.11 with SEV-ES. */
void table_move(void);
void table_mirror(void);
void table_init2(void);
void table_launch(void);
/* The same with a Secure Processor that answers two commands. */
void table_processor(void);
/* The same in ciphertext mode. */
void table_ciphertext(void);
/* For mainline-5.16. */
void table_old_mirror(void);
/* For rfc with SEV-ES; and the same without the third of its patches. */
void table_local(void);
void table_local_two_patches(void);
/* For any profile that has LOCAL_SEND: it shows whether a VM lives. */
void test_descriptors(void);
void test_processes(void);
/* For any profile with COPY. */
void test_devices(void);

/* What the program does when it is started again by a test of exec: the exit status. */
int after_exec(int vm);

#endif
