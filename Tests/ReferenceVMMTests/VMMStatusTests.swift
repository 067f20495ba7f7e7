import Testing

@testable import ReferenceVMM

@Suite("A VMM's status")
struct VMMStatusTests {
  @Test("says in words where the VMM is")
  func words() {
    let table: [(VMMStatus, String)] = [
      (.waitingForRegistry(path: "/run/baton/handoff"), "waiting for the registry at /run/baton/handoff"),
      (.mapping(doneBytes: 512 << 20, ofBytes: 4 << 30), "preparing: mapping 512 of 4096 MiB"),
      (
        .waitingForBaton(handoff: 7),
        "prepared for handoff 7, waiting for the baton; the guest is not here yet"
      ),
      (.running(epoch: 3), "running in epoch 3"),
      (.runningAnew(epoch: 4), "running in epoch 4, started anew"),
      (.offered(handoff: 8), "handing over: handoff 8 is under way, the guest runs here"),
      (.parked, "parked: the guest waits in the registry's custody for the next VMM"),
      (.failed(why: "no such disk"), "no such disk"),
    ]
    for (status, text) in table { #expect(status.text == text) }
  }
}
