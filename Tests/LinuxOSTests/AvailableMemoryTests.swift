import Testing

@testable import LinuxOS

@Suite("Memory that is available")
struct AvailableMemoryTests {
  @Test("is what the kernel says, in bytes")
  func parses() {
    #expect(
      AvailableMemory.parse("MemTotal: 9 kB\nMemFree: 3 kB\nMemAvailable:   12 kB\nBuffers: 1 kB\n") == 12_288
    )
  }

  @Test(
    "is not known where the kernel does not say it",
    arguments: [
      "", "MemTotal: 9 kB\n", "MemAvailable:\n", "MemAvailable: 12\n", "MemAvailable: 12 MB\n",
      "MemAvailable: -1 kB\n", "MemAvailable: 18446744073709551615 kB\n",
    ])
  func unknown(_ text: String) { #expect(AvailableMemory.parse(text) == nil) }

  @Test("is less than all of this machine's, and not nothing")
  func here() throws { #expect(try AvailableMemory.byteCount() > 1 << 20) }
}
