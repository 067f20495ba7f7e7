/// A property that a run broke, named as in Tests/Model/handoff.pml.
struct Violation: Error {
  enum Property: String {
    case oneRunner = "P1 one runner"
    case runsByVerdict = "P2 runs by verdict of the journal"
    case oneClaimant = "P3 one claimant holds the baton"
    case nothingLost = "P4 nothing is lost that could be kept"
    case comesToAnEnd = "P5 comes to an end"
    case newestState = "P6 newest state"
    case contextIsThere = "P7 runs where the context is"
    case nothingLeft = "P8 nothing left over"
    case progress = "P9 progress without faults"
    case numbers = "P10 numbers grow"
    case custody = "P11 custody is what the machine believes"
  }

  let property: Property
  let text: String
}
