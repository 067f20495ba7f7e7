import GuestImage
import LinuxOS

/// A whole page stamped with its number and the pass that wrote it, as software vCPUs write it.
///
/// All 512 words follow from number and pass, so any word of any older or other page is found.
enum TestPage {
  private static let step: UInt64 = 0x0001_0003_0005_0007
  private static let lowWords = GuestABI.TestPage.middle / 8 - 2
  private static let highWords = (GuestABI.TestPage.checksum - GuestABI.TestPage.middle) / 8 - 1

  static func fill(_ memory: SharedMapping, at offset: Int, index: UInt64, _ generation: UInt64) {
    let sum = GuestABI.checksum(index: index, generation: generation)
    memory.store64(index, at: offset + GuestABI.TestPage.index)
    memory.store64(generation, at: offset + GuestABI.TestPage.generation)
    memory.fillWords(at: offset + 16, count: lowWords, first: sum &+ 1, step: step)
    memory.store64(~sum, at: offset + GuestABI.TestPage.middle)
    memory.fillWords(
      at: offset + GuestABI.TestPage.middle + 8, count: highWords, first: ~sum &+ 1, step: step)
    memory.store64(sum, at: offset + GuestABI.TestPage.checksum)
  }

  /// The same page as bytes, for memory that is not written word by word.
  static func bytes(index: UInt64, _ generation: UInt64) -> [UInt8] {
    let sum = GuestABI.checksum(index: index, generation: generation)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(GuestABI.pageBytes)
    func append(_ word: UInt64) {
      for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: word >> shift)) }
    }
    func fill(_ count: Int, first: UInt64) {
      var word = first
      for _ in 0..<count {
        append(word)
        word &+= step
      }
    }
    append(index)
    append(generation)
    fill(lowWords, first: sum &+ 1)
    append(~sum)
    fill(highWords, first: ~sum &+ 1)
    append(sum)
    return bytes
  }

  static func matches(
    _ memory: SharedMapping, at offset: Int, index: UInt64, _ generation: UInt64
  ) -> Bool {
    let sum = GuestABI.checksum(index: index, generation: generation)
    return memory.load64(at: offset + GuestABI.TestPage.index) == index
      && memory.load64(at: offset + GuestABI.TestPage.generation) == generation
      && memory.wordsMatch(at: offset + 16, count: lowWords, first: sum &+ 1, step: step)
      && memory.load64(at: offset + GuestABI.TestPage.middle) == ~sum
      && memory.wordsMatch(
        at: offset + GuestABI.TestPage.middle + 8, count: highWords, first: ~sum &+ 1, step: step)
      && memory.load64(at: offset + GuestABI.TestPage.checksum) == sum
  }
}
