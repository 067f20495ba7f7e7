/* The program or shared library that this code is linked into. */
#ifndef BATON_CLINUX_PROGRAM_IMAGE_H
#define BATON_CLINUX_PROGRAM_IMAGE_H

/* Makes every page of its code and constants present, so that no first call of a function waits for one. What goes wrong
 * changes nothing: such a page is found when it is needed. */
void clinux_populate_program_image(void);
#endif
