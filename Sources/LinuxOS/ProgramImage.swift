import CLinux

/// The program that runs, or the shared library that this code is linked into.
public enum ProgramImage {
  /// Makes every page of its code and constants present.
  ///
  /// They come from the file's page cache one by one otherwise, when they are needed first: about a microsecond each, and
  /// a handoff needs some tens of them that nothing has called before. It costs no memory that is not shared with
  /// every other process of the same file.
  ///
  /// - Complexity: O(size of the file); about a millisecond for 20 MiB that the page cache has.
  ///
  /// The corresponding call is `madvise` with `MADV_POPULATE_READ`.
  public static func populate() { clinux_populate_program_image() }
}
